//! How the command ends where something gets in its way: signals, closed pipes, full disks, odd names, a wrong environment.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus-ends-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gradus() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
}

/// Trains the MLP for so many epochs.
fn training(out: impl AsRef<OsStr>, epochs: &str) -> Command {
    let mut command = gradus();
    command.args(["train", "digits", "--model", "mlp", "--epochs", epochs, "--out"]).arg(out);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The model is there, whole, and nothing else is but its picture.
fn saved(folder: &Path) {
    let file = fs::read(folder.join("mlp.safetensors")).expect("a model");
    assert!(gradus_nn::read(&file).expect("a sound file").len() > 2);
    assert_eq!(fs::read_dir(folder).expect("a folder").count(), 2);
}

#[test]
fn a_signal_ends_training_and_keeps_the_model() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = Folder::new(signal);
        let mut child = training(&folder.0, "100000")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("1/100000") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("text") > 0, "the training has begun");
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("kill").success());
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("text");
        let output = child.wait_with_output().expect("an end");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(128 + number), "{text}");
        let place = folder.0.join("mlp.safetensors").display().to_string();
        assert!(
            text.contains(&format!("stopped by SIG{signal} after step")) && text.contains(&place),
            "{text}"
        );
        saved(&folder.0);
    }
}

#[test]
fn a_reader_that_has_had_enough_leaves_the_model() {
    for json in [false, true] {
        let folder = Folder::new(if json { "closed-json" } else { "closed" });
        let mut command = training(&folder.0, "100000");
        if json {
            command.arg("--json");
        }
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        for _ in 0..3 {
            lines.read_line(&mut String::new()).expect("text");
        }
        drop(lines);
        let output = child.wait_with_output().expect("an end");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(141), "{text}");
        assert!(
            text.contains("the output was closed after step") && text.contains("mlp.safetensors"),
            "{text}"
        );
        saved(&folder.0);
    }
}

#[test]
fn a_reader_that_is_gone_at_once_is_no_success() {
    let folder = Folder::new("gone");
    let mut command = training(&folder.0, "100000");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(141));
    assert!(stderr(&output).contains("the output was closed"), "{}", stderr(&output));
}

#[test]
fn names_that_are_no_text_are_written() {
    let folder = Folder::new("name");
    let odd = folder.0.join(OsStr::from_bytes(b"r\xffn"));
    let output = training(&odd, "1").arg("--json").output().expect("the command runs");
    assert!(output.status.success(), "{}", stderr(&output));
    saved(&odd);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_training() {
    let folder = Folder::new("place");
    let file = folder.0.join("file");
    fs::write(&file, "x").expect("a file");
    let taken = folder.0.join("taken");
    fs::create_dir_all(taken.join("mlp.safetensors")).expect("a folder");
    for (out, why) in [(file, "cannot make the folder"), (taken, "it is a folder")] {
        let output = training(&out, "100000").output().expect("the command runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(output.stdout.is_empty(), "nothing was trained");
    }
}

#[test]
fn a_limit_of_the_disk_is_an_error() {
    let folder = Folder::new("limit");
    // Files of 8 blocks of 1,024 bytes: the model has more.
    let script = "ulimit -f 8; exec \"$0\" train digits --model mlp --epochs 1 --out \"$1\"";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_gradus")])
        .arg(&folder.0)
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(1), "{:?} {}", output.status.signal(), stderr(&output));
    assert!(stderr(&output).contains("mlp.safetensors: File too large"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn the_environment_is_checked_at_the_start() {
    for (variable, values, right) in [
        ("GRADUS_THREADS", ["", "0", "-1", "99999999999999999999", "many"], "1 to 1024"),
        ("GRADUS_DEVICE", ["", "gpu", "CPU", "cpu,reference", "0"], "cpu and reference"),
        ("GRADUS_ISA", ["", "sse9", "AVX2", "0", "avx2,avx512"], "baseline"),
    ] {
        for value in values {
            let output =
                gradus().args(["train", "digits"]).env(variable, value).output().expect("the command runs");
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{variable}={value}: {text}");
            assert!(text.contains(&format!("{variable} is `{value}`")) && text.contains(right), "{text}");
        }
    }
}
