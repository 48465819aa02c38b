//! Identities in files: readable by their owner alone, replaced in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Identity, Stage};

/// Largest file that is read: a verbatim identity of the longest fields has a fifth of it.
const MAX_LEN: u64 = 1 << 20;

/// Permissions of group and others.
const OTHERS: u32 = 0o077;

impl Identity {
    /// Writes the identity, with its secret, to the file at `path`, which only its owner can read.
    ///
    /// What was there is replaced in one step: after a loss of power either the old content is there
    /// or the new one. The folder must exist, be readable and be writable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `path` names no file, as `/` and `..` do;
    /// [`ErrorKind::FileAccess`] names the step that the system refused; what was there before is
    /// untouched. The last step is the exception, and its text says so: the file has been replaced,
    /// and the folder could not be flushed, so that a loss of power may bring the old content back.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.save_and_flush(path, File::sync_all)
    }

    /// `flush` makes the disk have what the folder says.
    fn save_and_flush(
        &self,
        path: &Path,
        flush: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), Error> {
        let text = self.to_text();
        let temporary = beside(path)?;
        let folder = parent(path);
        // Before anything is written: whoever cannot open it could not flush it either.
        let opened = open(folder, OFlag::O_DIRECTORY)
            .map_err(|error| refused("open the folder", folder, &error))?;
        let replaced = write_private(&temporary, text.expose().as_bytes())
            .map_err(|error| refused("write", &temporary, &error))
            .and_then(|()| {
                fs::rename(&temporary, path).map_err(|error| refused("replace", path, &error))
            });
        if replaced.is_err() {
            // It may hold the secret. That it is not there is as good.
            let _ = fs::remove_file(&temporary);
            return replaced;
        }
        // The new name is only safe from a loss of power with its folder. Some file systems cannot
        // be asked for that, and need not be.
        flush(&opened).or_else(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
            _ => {
                let text = format!(
                    "{} has been replaced, but the system cannot flush the folder {}: after a loss of \
                     power the old content may be there again: {error}",
                    path.display(),
                    folder.display()
                );
                Err(failure(ErrorKind::FileAccess, text).with_os_error(error.raw_os_error()))
            }
        })
    }

    /// Reads an identity that [`Identity::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::FileNotFound`] if there is no file at `path`; [`ErrorKind::FileExposed`] if
    /// others than its owner have any permission on it; [`ErrorKind::FileDamaged`] if it is cut off,
    /// changed or something else; [`ErrorKind::FileAccess`] if the system refuses.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = open(path, OFlag::O_NONBLOCK).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failure(
                ErrorKind::FileNotFound,
                format!("there is no file {}", path.display()),
            )
            .with_os_error(error.raw_os_error()),
            _ => refused("open", path, &error),
        })?;
        // Of what was opened, not of what may be at the path by now.
        let about = file
            .metadata()
            .map_err(|error| refused("look at", path, &error))?;
        if !about.is_file() {
            let text = format!("{} is not a regular file", path.display());
            return Err(failure(ErrorKind::FileDamaged, text));
        }
        let mode = about.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(failure(
                ErrorKind::FileExposed,
                format!(
                    "{} has the permissions {mode:03o}: others than its owner must have none \
                     (chmod 600), and who could read it may know the secret",
                    path.display()
                ),
            ));
        }
        if about.len() > MAX_LEN {
            let text = format!("{} is larger than any identity", path.display());
            return Err(failure(ErrorKind::FileDamaged, text));
        }
        let len = usize::try_from(about.len()).unwrap_or_default();
        // One byte more, so that reading the end needs no growth, which would leave a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(len + 1));
        (&mut file)
            .take(about.len())
            .read_to_end(&mut text)
            .map_err(|error| refused("read", path, &error))?;
        Self::from_text(&text)
            .map_err(|error| failure(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// Opens for reading, with `flags` under which a FIFO is not waited for until somebody writes.
fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = path.file_name().ok_or_else(|| {
        Error::argument(
            "path",
            format_args!("is {:?}: it names no file", path.display().to_string()),
        )
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{count}.tmp", process::id()));
    Ok(parent(path).join(temporary))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a file that only its owner can read, and waits until the disk has it.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    // A file of this name is left from a process that died: its number has come round again.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn refused(verb: &str, path: &Path, error: &io::Error) -> Error {
    let text = format!("cannot {verb} {}: {error}", path.display());
    failure(ErrorKind::FileAccess, text).with_os_error(error.raw_os_error())
}

fn failure(kind: ErrorKind, text: String) -> Error {
    Error::new(kind, Stage::Storage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("aliot-{}-{name}", process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn identity(secret: &str) -> Identity {
        Identity::with_secret("pk", "dn", secret).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_its_owner_reads_it() {
        let folder = Folder::new("save");
        let path = folder.0.join("identity");
        for secret in ["first", "second"] {
            identity(secret).save(&path).unwrap();
            assert_eq!(Identity::load(&path), Ok(identity(secret)));
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(folder.names(), ["identity"]);
    }

    #[test]
    fn a_file_that_others_could_read_or_change_is_refused() {
        let folder = Folder::new("exposed");
        let path = folder.0.join("identity");
        identity("secret").save(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Identity::load(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::FileExposed);
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Identity::load(&path).is_ok());
    }

    #[test]
    fn what_is_not_there_or_no_identity_has_its_own_error() {
        let folder = Folder::new("absent");
        let path = folder.0.join("identity");
        let kind = |path: &Path| Identity::load(path).unwrap_err().kind();
        assert_eq!(kind(&path), ErrorKind::FileNotFound);
        assert_eq!(kind(&folder.0), ErrorKind::FileDamaged);
        write_private(&path, b"").unwrap();
        assert_eq!(kind(&path), ErrorKind::FileDamaged);
        write_private(&path, &vec![b'x'; 2 << 20]).unwrap();
        assert_eq!(kind(&path), ErrorKind::FileDamaged);
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let folder = Folder::new("fifo");
        let fifo = folder.0.join("fifo");
        let made = process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let loaded = Identity::load(&fifo).unwrap_err();
            let saved = identity("secret").save(&fifo.join("identity"));
            tell.send((loaded, saved.unwrap_err())).unwrap();
        });
        let (loaded, saved) = told
            .recv_timeout(std::time::Duration::from_secs(30))
            .expect("waits for the FIFO");
        assert_eq!(loaded.kind(), ErrorKind::FileDamaged);
        assert!(
            loaded.to_string().contains("not a regular file"),
            "{loaded}"
        );
        assert_eq!(saved.kind(), ErrorKind::FileAccess);
        assert_eq!(saved.os_error(), Some(nix::errno::Errno::ENOTDIR as i32));
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = Folder::new("failure");
        let taken = folder.0.join("taken");
        fs::create_dir(&taken).unwrap();
        let error = identity("secret").save(&taken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileAccess);
        assert!(error.os_error().is_some());
        assert_eq!(folder.names(), ["taken"]);
        let nowhere = folder.0.join("no/such/folder");
        let error = identity("secret").save(&nowhere).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileAccess);
        assert!(identity("secret").save(Path::new("/")).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_found_before_anything_is_replaced() {
        let folder = Folder::new("unreadable");
        let path = folder.0.join("identity");
        identity("first").save(&path).unwrap();
        // Files can still be made and replaced in it.
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o300)).unwrap();
        if File::open(&folder.0).is_ok() {
            eprintln!("skipped: permissions do not bind this user");
            return;
        }
        let error = identity("second").save(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileAccess);
        assert!(
            error.to_string().contains("cannot open the folder"),
            "{error}"
        );
        assert_eq!(Identity::load(&path), Ok(identity("first")));
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(folder.names(), ["identity"]);
    }

    #[test]
    fn a_folder_that_is_not_flushed_is_told_apart_from_a_file_that_is_not_replaced() {
        let folder = Folder::new("flush");
        let path = folder.0.join("identity");
        identity("first").save(&path).unwrap();
        let broken = |_: &File| Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32));
        let error = identity("second")
            .save_and_flush(&path, broken)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileAccess);
        assert_eq!(error.os_error(), Some(nix::errno::Errno::EIO as i32));
        assert!(error.to_string().contains("has been replaced"), "{error}");
        assert_eq!(Identity::load(&path), Ok(identity("second")));
        // A file system that knows no such thing.
        let unknown = |_: &File| Err(io::ErrorKind::Unsupported.into());
        assert_eq!(identity("third").save_and_flush(&path, unknown), Ok(()));
        assert_eq!(folder.names(), ["identity"]);
    }

    #[test]
    fn savers_at_the_same_time_never_leave_half_a_file() {
        let folder = Folder::new("race");
        let path = folder.0.join("identity");
        identity("0").save(&path).unwrap();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        identity(&format!("{number}").repeat(60))
                            .save(path)
                            .unwrap();
                        Identity::load(path).unwrap();
                    }
                });
            }
        });
        assert_eq!(folder.names(), ["identity"]);
    }
}
