//! Files that people name in settings: regular ones of a bounded size, read as a whole.
//!
//! A pipe would be waited for without end, and a device has no end.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// The longest secret, token, certificate or list of certificates that is read, in bytes: several times what systems ship
/// as their list of authorities.
pub const MOST_FOR_SIGNING_IN: u64 = 2 << 20;

/// Why a file is not read. `Display` goes on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is a directory, a pipe, a socket or a device.
    #[error("is not a regular file")]
    NotRegular,
    /// It is longer than `most` bytes.
    #[error("is too large: {size} bytes, at most {most} are read")]
    TooLarge {
        /// How long it is, or how much of it was seen.
        size: u64,
        /// What is read at most.
        most: u64,
    },
    /// What the system said.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Reads a regular file of at most `most` bytes; links are followed.
///
/// # Errors
/// [`Unfit`] if it is none, or cannot be read.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unfit> {
    // Looked at before it is opened, for opening a pipe waits for its writer.
    fits(&std::fs::metadata(path)?, most)?;
    let file = File::open(path)?;
    fits(&file.metadata()?, most)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        size if size > most => Err(Unfit::TooLarge { size, most }),
        _ => Ok(bytes),
    }
}

fn fits(metadata: &Metadata, most: u64) -> Result<(), Unfit> {
    match metadata.len() {
        _ if !metadata.is_file() => Err(Unfit::NotRegular),
        size if size > most => Err(Unfit::TooLarge { size, most }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_a_bounded_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(read(&path, 4), Err(Unfit::Read(error)) if error.kind() == io::ErrorKind::NotFound));
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        std::fs::write(&path, "fives").unwrap();
        assert!(matches!(read(&path, 4), Err(Unfit::TooLarge { size: 5, most: 4 })));
        // Its length is told as 0.
        assert!(matches!(read(Path::new("/proc/self/status"), 4), Err(Unfit::TooLarge { size: 5, most: 4 })));
        for odd in [dir.path(), Path::new("/dev/zero")] {
            assert!(matches!(read(odd, 4), Err(Unfit::NotRegular)), "{odd:?}");
        }
    }
}
