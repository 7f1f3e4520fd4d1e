//! Files of tensors: exact round trips, damage and hostility refused, replacement all or nothing.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use gradus::{DType, Key, Tensor, Tree};
use gradus_nn::layers::{Activation, Mlp};
use gradus_nn::{Error, check_writable, load, load_cast, read, read_each, save, write, write_atomically};

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
        brain: Tensor,
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
        brain: Tensor::from([1f32, -2.5, 3e38, f32::INFINITY]).cast(DType::Bf16),
        half: Tensor::from([1f32, -2.5, 6e-8, f32::INFINITY]).cast(DType::F16),
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
    assert_eq!(back.len(), 10);
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
    ] {
        assert!(refused(&one(entry)).contains("does not fit"), "{entry}");
    }
    for entry in [
        r#"{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}"#,
        r#"{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}"#,
    ] {
        assert!(refused(&one(entry)).contains("too large"), "{entry}");
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

/// A disk that can hold some bytes.
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
    for free in [0, 4, 8, 20, 100, whole.len() - 1] {
        let error = write(Disk(free), &tree).unwrap_err();
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

#[test]
fn a_name_that_stands_twice_is_refused() {
    let empty = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    assert!(
        refused(&file(&format!("{{\"a\":{empty},\"a\":{empty}}}"), b"")).contains("\"a\" is there twice")
    );
    let entry = r#"{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}"#;
    assert!(refused(&file(entry, &[1])).contains("\"shape\" is there twice"));
    let notes = r#"{"__metadata__":{"by":"x","by":"y"}}"#;
    assert!(refused(&file(notes, b"")).contains("\"by\" is there twice"));
}

#[test]
fn an_odd_tensor_keeps_no_other_from_being_read() {
    let header = r#"{"half":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
        "eighth":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[4,6]},
        "other":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[6,8]},
        "bytes":{"dtype":"I8","shape":[2],"data_offsets":[8,10]},
        "short":{"dtype":"I16","shape":[1],"data_offsets":[10,12]},
        "places":{"dtype":"U16","shape":[1],"data_offsets":[12,14]},
        "count":{"dtype":"U32","shape":[1],"data_offsets":[14,18]},
        "long":{"dtype":"U64","shape":[1],"data_offsets":[18,26]},
        "huge":{"dtype":"U64","shape":[1],"data_offsets":[26,34]},
        "strange":{"dtype":"F4","shape":[9],"data_offsets":[34,39]},
        "bits":{"dtype":"BOOL","shape":[1],"data_offsets":[39,40]},
        "plain":{"dtype":"F32","shape":[1],"data_offsets":[40,44]}}"#;
    let mut data = vec![0x00, 0x3c, 0x00, 0xc1, 0x38, 0xfe, 0x3c, 0xc5, 0xff, 0x7f];
    data.extend(i16::MIN.to_le_bytes());
    data.extend(u16::MAX.to_le_bytes());
    data.extend(u32::MAX.to_le_bytes());
    data.extend(7u64.to_le_bytes());
    data.extend(u64::MAX.to_le_bytes());
    data.extend([1, 2, 3, 4, 5, 9]);
    data.extend(2.5f32.to_le_bytes());
    let bytes = file(header, &data);
    let all = read_each(&bytes).unwrap();
    assert_eq!(all.len(), 12);
    for (name, want) in [
        ("half", Tensor::from([1f32, -2.5]).cast(DType::F16)),
        ("eighth", Tensor::from([1f32, -448.0])),
        ("other", Tensor::from([1f32, -5.0])),
        ("bytes", Tensor::from([-1i32, 127])),
        ("short", Tensor::from([-32768i32])),
        ("places", Tensor::from([65535i32])),
        ("count", Tensor::from([4294967295i64])),
        ("long", Tensor::from([7i64])),
        ("plain", Tensor::from([2.5f32])),
    ] {
        assert_eq!(all[name].converted().unwrap(), want, "{name}");
    }
    assert_eq!(all["plain"].tensor().unwrap(), Tensor::from([2.5f32]));
    for (name, parts) in [
        ("eighth", ["F8_E4M3", "converted"]),
        ("long", ["U64", "i64"]),
        ("strange", ["F4", "those that can: F64"]),
        ("bits", ["booleans", ""]),
    ] {
        let error = all[name].tensor().unwrap_err().to_string();
        assert!(error.contains(&format!("\"{name}\"")) && parts.iter().all(|p| error.contains(p)), "{error}");
    }
    let error = all["huge"].converted().unwrap_err().to_string();
    assert!(error.contains("18446744073709551615"), "{error}");
    assert!(all["strange"].converted().is_err());
    // All at once needs all of them.
    assert!(read(&bytes).is_err());
}

#[test]
fn a_file_in_half_precision_fills_a_model_on_request() {
    let folder = Folder::new("half");
    let path = folder.0.join("half.safetensors");
    let header = r#"{"value":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    fs::write(&path, file(header, &[0x00, 0x3c, 0x00, 0xc1])).unwrap();
    let template = Tensor::zeros([2], DType::F64);
    assert!(load(&path, &template).unwrap_err().to_string().contains("f16"));
    assert_eq!(load_cast(&path, &template).unwrap(), Tensor::from([1.0, -2.5]));
}

fn text(path: &PathBuf, text: &str) -> Result<(), Error> {
    write_atomically(path, |out| out.write_all(text.as_bytes()).map_err(Error::Write))
}

#[test]
fn names_as_long_as_the_system_takes_and_no_longer() {
    let folder = Folder::new("long");
    for n in [1, 200, 255] {
        let path = folder.0.join("n".repeat(n));
        check_writable(&path).unwrap();
        text(&path, "x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
    assert!(text(&folder.0.join("n".repeat(256)), "x").is_err());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3, "a temporary file is left");
}

#[test]
fn what_is_no_place_for_a_file_is_refused_before_anything_is_made() {
    let folder = Folder::new("places");
    for (path, why) in [
        (folder.0.clone(), "folder"),
        (folder.0.join("no/such/file"), "no folder"),
        (PathBuf::from("/"), "names no file"),
        #[cfg(target_os = "linux")]
        (PathBuf::from("/dev/null"), "device"),
    ] {
        for error in [text(&path, "x").unwrap_err(), check_writable(&path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("cannot write") && error.contains(why), "{error}");
        }
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn modes_are_kept_and_links_followed() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let folder = Folder::new("links");
    let [file, link, chain] = ["file", "link", "chain"].map(|name| folder.0.join(name));
    fs::create_dir(folder.0.join("far")).unwrap();
    for mode in [0o600, 0o640, 0o755] {
        text(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        text(&file, "new").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
    }
    // Relative, and through another one; also to what is not there yet.
    symlink("far/away", &link).unwrap();
    symlink("link", &chain).unwrap();
    for round in ["first", "second"] {
        text(&chain, round).unwrap();
        assert_eq!(fs::read_to_string(folder.0.join("far/away")).unwrap(), round);
        assert!(fs::symlink_metadata(&chain).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    let ring = folder.0.join("ring");
    symlink("ring", &ring).unwrap();
    assert!(text(&ring, "x").unwrap_err().to_string().contains("lead nowhere"));
    let pipe = folder.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(text(&pipe, "x").unwrap_err().to_string().contains("pipe"));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn only_what_a_killed_process_has_left_is_removed() {
    let folder = Folder::new("stale");
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let make = |name: &str, aged: bool| {
        let path = folder.0.join(name);
        let file = fs::File::create(&path).unwrap();
        if aged {
            file.set_modified(old).unwrap();
        }
        (path, file)
    };
    let left = [".gradus-0123456789abcdef.tmp", ".model.17-3.tmp"].map(|name| make(name, true).0);
    let others = [".gradus-mine.tmp", ".other.17-3.tmp", ".model.x-3.tmp", "model.tmp"];
    let mut kept: Vec<PathBuf> = others.iter().map(|name| make(name, true).0).collect();
    kept.push(make(".gradus-00000000000000aa.tmp", false).0);
    let (used, writer) = make(".gradus-00000000000000bb.tmp", true);
    writer.lock().unwrap();
    kept.push(used);
    text(&folder.0.join("model"), "x").unwrap();
    for path in left {
        assert!(!path.exists(), "{} is still there", path.display());
    }
    for path in kept {
        assert!(path.exists(), "{} is gone", path.display());
    }
}
