//! Lines out of a file that comes in parts; no more than a line beyond a part is held.

/// The longest line, octets.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// Takes octets and gives lines, without their line feeds.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// What lies before this was given out.
    start: usize,
    ended: bool,
}

/// Why a line can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    /// It is longer than any line of an export.
    #[error("it has more than {LINE_MAX_BYTES} octets")]
    TooLong,
    /// It is no text.
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl Lines {
    /// More octets. To be called when [`Self::next`] has nothing more to give.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// Nothing more comes: what is left is the last line.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// The next line; `None` until more is pushed, or at the end. Behind one that is too long nothing is read.
    pub(super) fn next(&mut self) -> Option<Result<String, LineError>> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let length = match rest.iter().position(|octet| *octet == b'\n') {
            Some(length) => length,
            None if rest.len() > LINE_MAX_BYTES => rest.len(),
            None if self.ended && !rest.is_empty() => rest.len(),
            None => return None,
        };
        if length > LINE_MAX_BYTES {
            self.start = self.buffer.len();
            return Some(Err(LineError::TooLong));
        }
        let line = String::from_utf8(rest.get(..length).unwrap_or_default().to_vec());
        self.start = (self.start + length + 1).min(self.buffer.len());
        Some(line.map_err(|_| LineError::NotUtf8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<Result<String, LineError>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.push(part);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        lines.end();
        found.extend(std::iter::from_fn(|| lines.next()));
        found
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let expected = [Ok("one".to_owned()), Ok(String::new()), Ok("two\r".to_owned()), Err(LineError::NotUtf8)];
        let file = b"one\n\ntwo\r\n\xff";
        assert_eq!(read(&[file]), expected);
        assert_eq!(read(&file.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let part = vec![b'x'; 64 * 1024];
        let mut lines = Lines::default();
        for _ in 0..64 {
            lines.push(&part);
            while lines.next().is_some() {}
            assert!(lines.buffer.len() <= LINE_MAX_BYTES + part.len());
        }
        assert_eq!(read(&[&vec![b'x'; LINE_MAX_BYTES + 1]]), [Err(LineError::TooLong)]);
        assert_eq!(read(&[&vec![b'x'; LINE_MAX_BYTES]])[0].as_ref().map(String::len), Ok(LINE_MAX_BYTES));
    }
}
