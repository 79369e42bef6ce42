//! Small files in the data folder: read up to a bound, written whole or not at all, for the owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Reads a file that may be missing. One longer than `most` bytes is an error.
pub(crate) fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes a file: either the old text or the new one is there, whatever happens.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&draft, path)
}

/// Bytes that are free for this program where the folder is.
#[cfg(unix)]
pub(crate) fn free(folder: &Path) -> io::Result<Option<u64>> {
    let room = rustix::fs::statvfs(folder)?;
    Ok(Some(room.f_bavail.saturating_mul(room.f_frsize)))
}

/// Not known on this platform.
#[cfg(not(unix))]
pub(crate) fn free(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Whether this user may run a program: a path, or a name that is looked for as the system does.
pub(crate) fn can_run(program: &str) -> bool {
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| is_executable(&folder.join(program)))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Not known on this platform.
#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file() || path.with_extension("exe").is_file()
}

/// Renames a damaged folder to the first free name with a number behind it.
pub(crate) fn move_aside(folder: &Path) -> io::Result<PathBuf> {
    let numbered = |number: u32| {
        let mut name = folder.file_name().unwrap_or_default().to_owned();
        name.push(format!(".corrupt-{number}"));
        folder.with_file_name(name)
    };
    let free = (1..=u32::MAX).map(numbered).find(|path| !path.exists());
    let free = free.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(folder, &free)?;
    Ok(free)
}

/// The permissions of a file that others on this machine may read or change; none when they may not.
#[cfg(unix)]
pub(crate) fn open_to_others(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata()?.permissions().mode() & 0o777;
    Ok(Some(mode).filter(|mode| mode & 0o077 != 0))
}

/// Not known on this platform.
#[cfg(not(unix))]
pub(crate) fn open_to_others(_: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn programs_are_looked_for_and_must_be_executable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        fs::write(&path, "").expect("written");
        assert!(can_run("sh") && can_run("/bin/sh"));
        for wrong in [path.to_str().expect("a plain name"), "/bin", "/none/such", "no-such-program", ""] {
            assert!(!can_run(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn files_are_replaced_whole_and_read_up_to_a_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.json");
        assert_eq!(read(&path, 3).expect("missing is no error"), None);
        write(&path, b"one").expect("written");
        write(&path, b"two").expect("written again");
        assert_eq!(read(&path, 3).expect("read"), Some(b"two".to_vec()));
        assert!(read(&path, 2).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
