//! Files of tensors: exact round trips, damage and hostility refused, replacement all or nothing.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use gradus::{DType, Key, Tensor, Tree};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Error, load, read, save, write, write_atomically};

/// A folder of this test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus-nn-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn refused(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(Error::Format(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_dtype_comes_back_bit_for_bit() {
    #[derive(Clone, Tree)]
    struct All {
        half: Tensor,
        single: Tensor,
        double: Tensor,
        int: Tensor,
        long: Tensor,
        bytes: Tensor,
        bits: Tensor,
        scalar: Tensor,
        empty: Tensor,
    }
    let all = All {
        half: Tensor::from([1f32, -2.5, 3e38, f32::INFINITY]).cast(DType::Bf16),
        single: Tensor::from([f32::MIN_POSITIVE, -0.0, 1e-45, f32::NEG_INFINITY]),
        double: Tensor::from([[f64::MAX, 5e-324], [0.1, -0.0]]),
        int: Tensor::from([i32::MIN, i32::MAX]),
        long: Tensor::from([i64::MIN, i64::MAX]),
        bytes: Tensor::from([0u8, 255, 7]),
        bits: Tensor::from([true, false, true]),
        scalar: Tensor::from(3.5f32),
        empty: Tensor::zeros([0, 4], DType::F32),
    };
    let mut bytes = Vec::new();
    write(&mut bytes, &all).unwrap();
    let back = read(&bytes).unwrap();
    assert_eq!(back.len(), 9);
    for (path, tensor) in all.leaves() {
        let other = &back[&path];
        assert_eq!((other.dtype(), other.shape()), (tensor.dtype(), tensor.shape()), "{path}");
        // As text, so that -0.0 and 0.0 differ.
        assert_eq!(format!("{other:?}"), format!("{tensor:?}"), "{path}");
    }
    let nan = Tensor::from([f32::from_bits(0x7fc0_1234)]);
    let mut bytes = Vec::new();
    write(&mut bytes, &nan).unwrap();
    assert_eq!(read(&bytes).unwrap()["value"].to_vec::<f32>()[0].to_bits(), 0x7fc0_1234);
}

#[test]
fn a_model_comes_back_and_another_does_not_fit() {
    let folder = Folder::new("model");
    let path = folder.0.join("model.safetensors");
    let model = Mlp::new(&Key::new(0), &[4, 3, 2], Activation::Relu);
    save(&path, &model).unwrap();
    let blank = Mlp::new(&Key::new(1), &[4, 3, 2], Activation::Relu);
    assert_eq!(load(&path, &blank).unwrap().tensors(), model.tensors());

    let wider = Mlp::new(&Key::new(0), &[4, 5, 2], Activation::Relu);
    let error = load(&path, &wider).unwrap_err().to_string();
    assert!(error.contains("layers.0.weight") && error.contains("[4, 5]"), "{error}");
    let deeper = Mlp::new(&Key::new(0), &[4, 3, 2, 2], Activation::Relu);
    let error = load(&path, &deeper).unwrap_err().to_string();
    assert!(error.contains("no tensor \"layers.2.weight\""), "{error}");
    let shallow = Mlp::new(&Key::new(0), &[4, 3], Activation::Relu);
    let error = load(&path, &shallow).unwrap_err().to_string();
    assert!(error.contains("layers.1.bias") && error.contains("not part"), "{error}");
    let error = load(folder.0.join("nothing"), &model).unwrap_err();
    assert!(matches!(error, Error::File { action: "read", .. }), "{error}");
}

#[test]
fn hostile_bytes_are_refused_with_a_reason() {
    assert!(refused(b"").contains("shorter"));
    assert!(refused(&u64::MAX.to_le_bytes()).contains("header should have"));
    assert!(refused(&file("[]", b"")).contains("JSON"));
    assert!(refused(&file(&"[".repeat(100_000), b"")).contains("JSON"));
    let one = |entry: &str| file(&format!("{{\"x\":{entry}}}"), &[0; 8]);
    for entry in [
        "3",
        r#"{"dtype":"F32","shape":[2]}"#,
        r#"{"dtype":"F33","shape":[2],"data_offsets":[0,8]}"#,
        r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#,
        r#"{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}"#,
        r#"{"dtype":"F32","shape":[2],"data_offsets":[0]}"#,
        r#"{"dtype":"F32","shape":[2],"data_offsets":[-1,8]}"#,
    ] {
        assert!(refused(&one(entry)).contains("no sound entry"), "{entry}");
    }
    for entry in [
        r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#,
        r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#,
        r#"{"dtype":"F32","shape":[2],"data_offsets":[4,12]}"#,
        r#"{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}"#,
        r#"{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}"#,
    ] {
        assert!(refused(&one(entry)).contains("does not fit"), "{entry}");
    }
    let overlap = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#;
    assert!(refused(&file(overlap, &[0; 6])).contains("overlap"));
    let short = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    assert!(refused(&file(short, &[0; 6])).contains("unused"));
    let bits = r#"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
    assert!(refused(&file(bits, &[1, 2])).contains("booleans"));
    // Notes beside the tensors are allowed.
    let notes = r#"{"__metadata__":{"by":"x"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert_eq!(read(&file(notes, &[9])).unwrap()["a"], Tensor::from([9u8]));
}

#[test]
fn no_truncation_and_no_flipped_byte_panics() {
    let mut bytes = Vec::new();
    write(&mut bytes, &(Tensor::from([1f32, 2.0]), Tensor::from([true]))).unwrap();
    for n in 0..bytes.len() {
        refused(&bytes[..n]);
    }
    for i in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[i] ^= flip;
            let _ = read(&damaged);
        }
    }
}

/// A disk with room for some bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        self.0 -= n;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_file() {
    let tree = Tensor::zeros([1000], DType::F32);
    let mut whole = Vec::new();
    write(&mut whole, &tree).unwrap();
    for room in [0, 4, 8, 20, 100, whole.len() - 1] {
        let error = write(Disk(room), &tree).unwrap_err();
        assert!(error.to_string().contains("no space left"), "{error}");
    }
    write(Disk(whole.len()), &tree).unwrap();

    let folder = Folder::new("full");
    let path = folder.0.join("kept");
    save(&path, &tree).unwrap();
    let error = write_atomically(&path, |file| {
        file.write_all(b"half").map_err(Error::Write)?;
        write(Disk(100), &tree)
    })
    .unwrap_err();
    assert!(matches!(&error, Error::File { action: "write", path: p, .. } if *p == path), "{error}");
    assert_eq!(load(&path, &tree).unwrap(), tree);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "the temporary file is still there");
    let error = save(folder.0.join("no/such/folder"), &tree).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_without_space_is_an_error() {
    // /dev/full takes nothing; it stands for the disk below the stream.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = write(full, &Tensor::zeros([10], DType::F32)).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
}

const SAVER: &str = "GRADUS_NN_TEST_SAVER";

/// Not a test by itself: when told so by the environment, saves one model after another until it is killed.
#[test]
fn saves_until_killed() {
    let Ok(path) = std::env::var(SAVER) else { return };
    for i in 0.. {
        save(&path, &Tensor::full([100_000], DType::F32, f64::from(i))).unwrap();
    }
}

#[test]
fn a_killed_program_leaves_a_whole_file() {
    let folder = Folder::new("kill");
    let path = folder.0.join("model.safetensors");
    let template = Tensor::zeros([100_000], DType::F32);
    save(&path, &template).unwrap();
    for round in 0..5 {
        let mut saver = Command::new(std::env::current_exe().unwrap())
            .args(["saves_until_killed", "--exact"])
            .env(SAVER, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + 37 * round));
        saver.kill().unwrap();
        saver.wait().unwrap();
        let found = load(&path, &template).unwrap();
        // One model, not parts of two.
        assert_eq!(found.min(()).item::<f64>(), found.max(()).item::<f64>());
    }
}
