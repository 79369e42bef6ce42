//! The token that a request to change something must show: whoever can read the file in the data folder is the owner.
//!
//! Asking needs none. A page in a browser can neither read the file nor send the header.

use crate::disk;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

const FILE: &str = "api-token";
/// Characters of a token.
const LENGTH: usize = 64;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Makes a new one and writes it into the folder, for the owner's eyes only, in place of an earlier node's.
    pub fn make(data_dir: &Path) -> io::Result<Self> {
        let mut bytes = [0; LENGTH / 2];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let token = Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        disk::write(&data_dir.join(FILE), token.0.as_bytes())?;
        Ok(token)
    }

    /// Reads the one of the node that runs on the folder.
    pub fn read(data_dir: &Path) -> io::Result<Self> {
        let mut text = String::new();
        fs::File::open(data_dir.join(FILE))?.take(LENGTH as u64).read_to_string(&mut text)?;
        Ok(Self(text))
    }

    /// The value of the Authorization header that shows it.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a header's value shows this token. Takes as long for a wrong one as for the right one.
    pub(super) fn is_shown_by(&self, header: &str) -> bool {
        let wanted = self.header();
        let differing = wanted.bytes().zip(header.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
        wanted.len() == header.len() && differing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_can_read_it_and_each_node_has_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Token::make(folder.path()).expect("made");
        let second = Token::make(folder.path()).expect("made again");
        assert_ne!(first, second);
        assert_eq!(Token::read(folder.path()).expect("there"), second);
        assert!(second.is_shown_by(&second.header()));
        for wrong in ["", "Bearer ", &first.header(), &second.header()[1..], &format!("{}0", second.header())]
        {
            assert!(!second.is_shown_by(wrong), "{wrong}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
