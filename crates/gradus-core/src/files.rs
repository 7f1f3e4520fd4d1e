//! Files that are replaced as a whole or not at all.
//!
//! What is written goes to a temporary file in the folder of the old one, which is flushed to the disk and then renamed. The
//! temporary is locked as long as its writer lives, so that one which a killed process has left can be told from
//! one in use, and is removed by the next writer.

use std::fs::{File, FileType, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Temporary files are named so, with 16 random digits between.
const PREFIX: &str = ".gradus-";
const SUFFIX: &str = ".tmp";

/// Names that are tried before giving up.
const TRIES: usize = 100;

/// A temporary file that nobody holds is removed once it is so old: between making a file and locking it there is a moment.
const STALE: Duration = Duration::from_secs(600);

/// Links that are followed.
const LINKS: usize = 40;

/// Replaces a file by what `contents` writes: into a new file beside it, flushed to the disk, then renamed. Whatever happens
/// on the way, there is either the old file or the new one. The mode of the old file is kept, and where `path` is a
/// symbolic link, the file it leads to is replaced. Temporary files that a killed process has left in the folder ten
/// minutes ago or longer are removed.
///
/// # Errors
/// If the system cannot write, or `path` is a folder, a pipe or a device, what `fail` makes of the reason; or what `contents` fails
/// with. The old file is then untouched and the new one is gone.
///
/// ```
/// use std::io::Write;
/// let path = std::env::temp_dir().join(format!("gradus-replace-{}.txt", std::process::id()));
/// for text in ["old", "new"] {
///     gradus_core::files::replace(&path, |error| error, |out| out.write_all(text.as_bytes()))?;
///     assert_eq!(std::fs::read_to_string(&path)?, text);
/// }
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn replace<E>(
    path: &Path,
    fail: impl Fn(io::Error) -> E,
    contents: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let place = Place::of(path).map_err(&fail)?;
    place.remove_stale();
    let (temporary, file) = place.temporary().map_err(&fail)?;
    let mut file = BufWriter::new(file);
    let written = contents(&mut file)
        .and_then(|()| file.flush().map_err(&fail))
        .and_then(|()| place.finish(&temporary, file.get_ref()).map_err(&fail));
    if written.is_err() {
        // The first error is the one to report; a temporary that cannot be removed does no harm.
        let _ = std::fs::remove_file(&temporary);
        return written;
    }
    place.flush_folder();
    Ok(())
}

/// Whether [`replace`] can begin: asked before long work whose result it is to hold. The disk may still be full when it ends.
///
/// # Errors
/// The same as when writing begins.
pub fn check_writable(path: &Path) -> io::Result<()> {
    let (temporary, _) = Place::of(path)?.temporary()?;
    std::fs::remove_file(temporary)
}

/// Where a file is to be.
struct Place {
    /// Its path, links followed.
    target: PathBuf,
    folder: PathBuf,
    /// The file that is there.
    old: Option<Metadata>,
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        let mut target = path.to_path_buf();
        let mut links = 0;
        while let Ok(next) = std::fs::read_link(&target) {
            links += 1;
            if links > LINKS {
                return Err(io::Error::new(ErrorKind::InvalidInput, "its symbolic links lead nowhere"));
            }
            target = folder_of(&target).join(next);
        }
        if target.file_name().is_none() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it names no file"));
        }
        let folder = folder_of(&target);
        let old = match std::fs::metadata(&target) {
            Ok(old) if old.is_file() => Some(old),
            Ok(other) => return Err(io::Error::new(ErrorKind::InvalidInput, what_it_is(other.file_type()))),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if old.is_none() && std::fs::metadata(&folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            let why = format!("there is no folder {}", folder.display());
            return Err(io::Error::new(ErrorKind::NotFound, why));
        }
        Ok(Place { target, folder, old })
    }

    /// A new file in the folder, locked.
    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let random = RandomState::new();
        for i in 0..TRIES {
            let path = self.folder.join(format!("{PREFIX}{:016x}{SUFFIX}", random.hash_one(i)));
            match self.options().open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    let why = format!("no file can be made in {}: {error}", self.folder.display());
                    return Err(io::Error::new(error.kind(), why));
                }
                Ok(file) => {
                    // Where files cannot be locked, none is taken for stale.
                    let _ = file.try_lock();
                    return Ok((path, file));
                }
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "no name is free for a temporary file"))
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if let Some(old) = &self.old {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            // What others may not read they may not read meanwhile.
            options.mode(old.permissions().mode() & 0o777);
        }
        options
    }

    /// The mode of the old file, the disk, the name.
    fn finish(&self, temporary: &Path, file: &File) -> io::Result<()> {
        if let Some(old) = &self.old {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        // Not every system renames what is locked.
        let _ = file.unlock();
        std::fs::rename(temporary, &self.target)
    }

    /// The new name is on the disk once the folder is; systems that cannot flush a folder flush names by themselves.
    fn flush_folder(&self) {
        if let Ok(folder) = File::open(&self.folder) {
            let _ = folder.sync_all();
        }
    }

    /// Whether a version before this one may have made a temporary file of this name: `.NAME.PROCESS-COUNT.tmp`.
    fn was_ours(&self, name: &str) -> bool {
        let own = self.target.file_name().unwrap_or_default().to_string_lossy();
        let numbers = name.strip_prefix('.').and_then(|rest| rest.strip_prefix(&*own));
        let numbers = numbers.and_then(|rest| rest.strip_prefix('.')?.strip_suffix(SUFFIX)?.split_once('-'));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|d| d.is_ascii_digit());
        numbers.is_some_and(|(process, count)| number(process) && number(count))
    }

    /// Removes temporary files that nobody will finish. Whatever goes wrong here is no reason not to write.
    fn remove_stale(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if (is_ours(&name) || self.was_ours(&name)) && is_stale(&entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Why something is not replaced.
fn what_it_is(kind: FileType) -> &'static str {
    if kind.is_dir() { "it is a folder" } else { "it is no ordinary file, but a pipe, a socket or a device" }
}

/// Whether a temporary file may have this name.
fn is_ours(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|d| d.is_ascii_hexdigit()))
}

/// Whether the writer of a temporary file has gone without finishing it.
fn is_stale(path: &Path) -> bool {
    let old = |file: &Metadata| {
        let age = file.modified().ok().and_then(|at| at.elapsed().ok());
        file.is_file() && age.is_some_and(|age| age >= STALE)
    };
    std::fs::symlink_metadata(path).is_ok_and(|file| old(&file))
        && File::open(path).is_ok_and(|file| match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_names_are_ours() {
        assert!(is_ours(".gradus-0123456789abcdef.tmp"));
        for name in
            [".gradus-.tmp", ".gradus-0123456789abcdeg.tmp", "gradus-0123456789abcdef.tmp", ".gradus-x"]
        {
            assert!(!is_ours(name), "{name}");
        }
    }
}
