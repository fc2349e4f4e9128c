//! Records out of a stream of octets: CSV (RFC 4180) or one JSON value a line.
//!
//! Octets are pushed as they come and records taken out; no more than one record beyond what was pushed is held. The usual
//! CSV reader is not used: it wants a blocking source, and forgives a stray quotation mark by swallowing the lines behind it.
//! Here a record that can't be read costs its first line alone, and reading goes on with the next one. Nothing is interpreted
//! here, see [`super::columns`].

/// The most octets of a line; of a CSV record with line breaks in a cell, of all its lines.
pub(super) const LINE_MAX: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// In which notation an import or export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFormat {
    /// `text/csv`: RFC 4180 with a header row, separated by commas.
    Csv,
    /// `application/x-ndjson`: a JSON object on each line.
    Ndjson,
}

/// A record and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of its first line, from 1.
    pub line: u64,
    /// What it says, or why it can't be read.
    pub content: Result<Content, String>,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The cells of a CSV record.
    Cells(Vec<String>),
    /// A line as it stands, without its line break.
    Text(String),
}

/// Takes octets and gives records. Empty lines are passed over.
#[derive(Debug)]
pub(super) struct Records {
    format: BulkFormat,
    buffer: Vec<u8>,
    /// What lies before this was given out.
    start: usize,
    /// The number of the line at `start`.
    line: u64,
    begun: bool,
    ended: bool,
    /// Whether `start` lies in a line that has failed already.
    discarding: bool,
    /// So many octets behind `start` hold no whole record: without another line break there is none either.
    fruitless: usize,
}

impl Records {
    pub(super) const fn new(format: BulkFormat) -> Self {
        Self {
            format,
            buffer: Vec::new(),
            start: 0,
            line: 1,
            begun: false,
            ended: false,
            discarding: false,
            fruitless: 0,
        }
    }

    /// More octets. To be called when [`Self::next`] has nothing more to give.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// Nothing more comes: what is left is the last record.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// The next record; `None` until more is pushed, or at the end.
    pub(super) fn next(&mut self) -> Option<Record> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if self.discarding {
                let Some(at) = line_break(rest) else {
                    self.start = self.buffer.len();
                    return None;
                };
                self.pass(at + 1);
                self.discarding = false;
                continue;
            }
            if !self.begun {
                if rest.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(rest) && !self.ended {
                    return None;
                }
                self.begun = true;
                if rest.starts_with(BYTE_ORDER_MARK) {
                    self.start += BYTE_ORDER_MARK.len();
                }
                continue;
            }
            if rest.is_empty() {
                return None;
            }
            let window = rest.get(..=LINE_MAX).unwrap_or(rest);
            let added = window.get(self.fruitless..).unwrap_or_default();
            if self.fruitless > 0 && !self.ended && window.len() <= LINE_MAX && line_break(added).is_none() {
                self.fruitless = window.len();
                return None;
            }
            let whole = self.ended && window.len() == rest.len();
            let scanned = match self.format {
                BulkFormat::Csv => scan_cells(window, whole),
                BulkFormat::Ndjson => scan_line(window, whole),
            };
            match scanned {
                Scan::More if window.len() <= LINE_MAX => {
                    self.fruitless = window.len();
                    return None;
                }
                Scan::More => return Some(self.fail(format!("a line may have {LINE_MAX} octets"))),
                Scan::Malformed(why) => return Some(self.fail(why.to_owned())),
                Scan::Record { octets, content } => {
                    let line = self.line;
                    self.pass(octets);
                    match content {
                        Ok(content) if content.is_empty() => {}
                        content => return Some(Record { line, content: content.map_err(str::to_owned) }),
                    }
                }
            }
        }
    }

    fn pass(&mut self, octets: usize) {
        let passed = self.buffer.get(self.start..self.start + octets).unwrap_or_default();
        self.line += passed.iter().map(|octet| u64::from(*octet == b'\n')).sum::<u64>();
        self.start += octets;
        self.fruitless = 0;
    }

    /// Gives up the line at `start`, and no other.
    fn fail(&mut self, why: String) -> Record {
        let line = self.line;
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        match line_break(rest) {
            Some(at) => self.pass(at + 1),
            None => {
                self.start = self.buffer.len();
                self.fruitless = 0;
                self.discarding = true;
            }
        }
        Record { line, content: Err(why) }
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        match self {
            Self::Cells(cells) => matches!(cells.as_slice(), [cell] if cell.is_empty()),
            Self::Text(text) => text.trim().is_empty(),
        }
    }
}

enum Scan {
    /// It does not end here.
    More,
    /// It ends after so many octets.
    Record {
        octets: usize,
        content: Result<Content, &'static str>,
    },
    Malformed(&'static str),
}

const NOT_UTF8: &str = "the line is not UTF-8";

fn line_break(octets: &[u8]) -> Option<usize> {
    octets.iter().position(|octet| *octet == b'\n')
}

fn scan_line(input: &[u8], whole: bool) -> Scan {
    let (length, octets) = match line_break(input) {
        Some(at) => (at, at + 1),
        None if whole => (input.len(), input.len()),
        None => return Scan::More,
    };
    let line = input.get(..length).unwrap_or_default();
    let content = String::from_utf8(line.to_vec()).map(Content::Text).map_err(|_| NOT_UTF8);
    Scan::Record { octets, content }
}

fn scan_cells(input: &[u8], whole: bool) -> Scan {
    let mut cells = Vec::new();
    let mut at = 0;
    loop {
        let mut cell = Vec::new();
        let quoted = input.get(at) == Some(&b'"');
        if quoted {
            at += 1;
            loop {
                let rest = input.get(at..).unwrap_or_default();
                let Some(length) = rest.iter().position(|octet| *octet == b'"') else {
                    return if whole { Scan::Malformed("a quotation mark is not closed") } else { Scan::More };
                };
                cell.extend_from_slice(rest.get(..length).unwrap_or_default());
                at += length + 1;
                match input.get(at) {
                    Some(b'"') => {
                        cell.push(b'"');
                        at += 1;
                    }
                    None if !whole => return Scan::More,
                    _ => break,
                }
            }
        } else {
            let rest = input.get(at..).unwrap_or_default();
            let length = rest.iter().position(|octet| matches!(octet, b',' | b'\n' | b'"')).unwrap_or(rest.len());
            cell.extend_from_slice(rest.get(..length).unwrap_or_default());
            at += length;
        }
        let octets = match (input.get(at), input.get(at + 1)) {
            (Some(b','), _) => {
                cells.push(cell);
                at += 1;
                continue;
            }
            (Some(b'\n'), _) => at + 1,
            (Some(b'\r'), Some(b'\n')) => at + 2,
            (Some(b'\r'), None) if whole => at + 1,
            (None, _) if whole => at,
            (None, _) | (Some(b'\r'), None) => return Scan::More,
            _ if quoted => return Scan::Malformed("something follows a closing quotation mark"),
            _ => return Scan::Malformed("a quotation mark stands in a cell that does not begin with one"),
        };
        if !quoted && cell.last() == Some(&b'\r') {
            cell.pop();
        }
        cells.push(cell);
        let texts: Result<Vec<String>, _> = cells.into_iter().map(String::from_utf8).collect();
        return Scan::Record { octets, content: texts.map(Content::Cells).map_err(|_| NOT_UTF8) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(format: BulkFormat, input: &[u8], chunk: usize) -> Vec<(u64, Result<String, String>)> {
        let mut records = Records::new(format);
        let mut found = Vec::new();
        let mut take = |records: &mut Records| {
            while let Some(record) = records.next() {
                let content = record.content.map(|content| match content {
                    Content::Cells(cells) => cells.join("|"),
                    Content::Text(text) => text,
                });
                found.push((record.line, content));
            }
        };
        for part in input.chunks(chunk) {
            records.push(part);
            take(&mut records);
        }
        records.end();
        take(&mut records);
        found
    }

    fn csv(input: &str) -> Vec<(u64, Result<String, String>)> {
        let whole = read(BulkFormat::Csv, input.as_bytes(), input.len().max(1));
        for chunk in [1, 2, 3, 7] {
            assert_eq!(read(BulkFormat::Csv, input.as_bytes(), chunk), whole, "in chunks of {chunk}: {input:?}");
        }
        whole
    }

    fn ok(line: u64, cells: &str) -> (u64, Result<String, String>) {
        (line, Ok(cells.to_owned()))
    }

    #[test]
    fn csv_is_read_as_rfc_4180_says_however_it_is_cut() {
        assert_eq!(csv("a,b\r\n1,2\r\n"), [ok(1, "a|b"), ok(2, "1|2")]);
        assert_eq!(
            csv("a,\"b\"\n\"1\"\"x\",\"2,\r\n3\"\nlast,"),
            [ok(1, "a|b"), ok(2, "1\"x|2,\r\n3"), ok(4, "last|")]
        );
        assert_eq!(csv("\u{feff}a\n\n\r\nb"), [ok(1, "a"), ok(4, "b")]);
        assert_eq!(csv("a,b\r\n\"x\"\r\n,\r"), [ok(1, "a|b"), ok(2, "x"), ok(3, "|")]);
        assert_eq!(csv(""), []);
        assert_eq!(csv("\u{feff}"), []);
    }

    #[test]
    fn a_stray_quotation_mark_costs_its_line_alone() {
        for bad in ["x\"y", "\"open", "\"a\"b,c", ",\"open,2", "\"", "a,\"b\" "] {
            let found = csv(&format!("one,1\n{bad}\nthree,\"3\"\nfour,4\n"));
            assert_eq!(found.len(), 4, "{bad}: {found:?}");
            assert_eq!(
                (&found[0], &found[2], &found[3]),
                (&ok(1, "one|1"), &ok(3, "three|3"), &ok(4, "four|4")),
                "{bad}"
            );
            assert!(found[1].0 == 2 && found[1].1.is_err(), "{bad}: {found:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_not_held() {
        let long = "x".repeat(LINE_MAX + 1);
        for format in [BulkFormat::Csv, BulkFormat::Ndjson] {
            let input = format!("a\n{long}{long}{long}\nb\n{}\nc", &long[1..]);
            for chunk in [4096, input.len()] {
                let found = read(format, input.as_bytes(), chunk);
                assert_eq!((&found[0], &found[2], &found[4]), (&ok(1, "a"), &ok(3, "b"), &ok(5, "c")));
                assert!(found[1].1.as_ref().unwrap_err().contains("65536"), "{:?}", found[1].0);
                assert_eq!(found[3].1.as_ref().unwrap().len(), LINE_MAX);
            }
        }
        let mut records = Records::new(BulkFormat::Csv);
        for _ in 0..100 {
            records.push(long.as_bytes());
            records.next();
            assert!(records.buffer.len() <= 2 * LINE_MAX + 2);
        }
    }

    #[test]
    fn an_open_quotation_mark_does_not_swallow_the_file() {
        let lines: String = (0..20_000).map(|n| format!("line,{n}\n")).collect();
        let found = read(BulkFormat::Csv, format!("\"open,1\n{lines}").as_bytes(), 8192);
        assert!(found[0].1.is_err());
        assert_eq!(found.len(), 20_001);
        assert_eq!(found[20_000], ok(20_001, "line|19999"));
    }

    #[test]
    fn octets_that_are_no_text_are_refused_with_their_line() {
        for format in [BulkFormat::Csv, BulkFormat::Ndjson] {
            let found = read(format, b"a\n\xff\xfe\nb", 2);
            assert_eq!((&found[0], &found[2]), (&ok(1, "a"), &ok(3, "b")));
            assert!(found[1].1.is_err());
        }
    }

    #[test]
    fn json_lines_are_given_as_they_stand() {
        assert_eq!(
            read(BulkFormat::Ndjson, b"{\"a\":\"\\n\"}\r\n\n {} ", 3),
            [ok(1, "{\"a\":\"\\n\"}\r"), ok(3, " {} ")]
        );
    }
}
