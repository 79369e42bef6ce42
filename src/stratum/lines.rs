//! Cuts a stream of bytes into lines, and gives up on lines that are too long.

/// Most bytes of a line, its end included.
pub(super) const MAX_LINE: usize = 8 * 1024;
/// Bytes that are asked for in one go.
const CHUNK: usize = 2 * 1024;

/// No line end within [`MAX_LINE`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Bytes received and not yet taken as lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Before this all has been taken.
    start: usize,
    /// Before this there is no line end.
    searched: usize,
}

impl LineBuffer {
    /// Where to append what is received. It is asked for when no whole line is left, so that never more is held than
    /// [`MAX_LINE`] bytes and what comes at once: [`CHUNK`], or the 16 KiB of a TLS record and a little.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.reserve(CHUNK);
        &mut self.bytes
    }

    /// What was received and not taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The next whole line without its end, if there is one. When there is none, more must be received.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let Some(at) = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            return if self.bytes.len() - self.start >= MAX_LINE { Err(TooLong) } else { Ok(None) };
        };
        let (start, end) = (self.start, self.searched + at);
        if end - start >= MAX_LINE {
            return Err(TooLong);
        }
        (self.start, self.searched) = (end + 1, end + 1);
        Ok(Some(&self.bytes[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let mut buffer = LineBuffer::default();
        buffer.space().extend_from_slice(b"one\ntwo\r\n\nthr");
        assert_eq!(buffer.next(), Ok(Some(&b"one"[..])));
        assert_eq!(buffer.next(), Ok(Some(&b"two\r"[..])));
        assert_eq!(buffer.next(), Ok(Some(&b""[..])));
        assert_eq!(buffer.next(), Ok(None));
        buffer.space().extend_from_slice(b"ee\n");
        assert_eq!(buffer.next(), Ok(Some(&b"three"[..])));
        assert_eq!(buffer.next(), Ok(None));
    }

    #[test]
    fn a_line_has_its_limit_with_and_without_an_end() {
        let mut buffer = LineBuffer::default();
        let longest = [vec![b'a'; MAX_LINE - 1], vec![b'\n']].concat();
        buffer.space().extend_from_slice(&longest);
        assert_eq!(buffer.next().map(|line| line.map(<[u8]>::len)), Ok(Some(MAX_LINE - 1)));
        buffer.space().extend_from_slice(&longest[1..]);
        buffer.space().splice(0..0, *b"aa");
        assert_eq!(buffer.next(), Err(TooLong));
        let mut buffer = LineBuffer::default();
        buffer.space().extend_from_slice(&longest[..MAX_LINE - 1]);
        assert_eq!(buffer.next(), Ok(None));
        buffer.space().push(b'a');
        assert_eq!(buffer.next(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn it_gives_what_splitting_gives(chunks in proptest::collection::vec("[a\n]{0,9}", 0..20)) {
            let (mut buffer, mut got) = (LineBuffer::default(), Vec::new());
            for chunk in &chunks {
                buffer.space().extend_from_slice(chunk.as_bytes());
                while let Some(line) = buffer.next().expect("short lines") {
                    got.push(String::from_utf8(line.to_vec()).expect("text"));
                }
            }
            let all = chunks.concat();
            let expected: Vec<&str> = all.split('\n').collect();
            prop_assert_eq!(&got, &expected[..expected.len() - 1]);
        }
    }
}
