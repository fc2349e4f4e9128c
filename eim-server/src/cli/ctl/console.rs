//! What is printed: tables for people, JSON for programs.
//!
//! Texts of the server come from devices and other people: what could steer a terminal is replaced.

use super::Failure;
use serde_json::Value;
use std::io::{self, Read, Write};

/// A column: its title, and the JSON pointer of what stands in it.
pub(super) type Column = (&'static str, &'static str);

/// Where a command reads from and prints to.
pub struct Console {
    /// Standard input.
    pub input: Box<dyn Read + Send>,
    /// The result.
    pub out: Box<dyn Write + Send>,
    /// Everything else.
    pub err: Box<dyn Write + Send>,
    /// Whether the result goes to a terminal, where lines may be written over.
    pub is_terminal: bool,
}

impl Console {
    /// The streams of this process.
    #[must_use]
    pub fn of_process() -> Self {
        use std::io::IsTerminal;
        Self {
            input: Box::new(io::stdin()),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// For people only; that it can't be printed stops nothing.
    pub(super) fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", printable(text));
        let _ = self.err.flush();
    }

    /// A text of our own in several lines.
    pub(super) fn note_as_is(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    pub(super) fn table(&mut self, columns: &[Column], rows: &[Value], with_titles: bool) -> Result<(), Failure> {
        let text = table(columns, rows, with_titles);
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// The members of an object, one a line.
    pub(super) fn members(&mut self, object: &Value) -> Result<(), Failure> {
        let Value::Object(members) = object else { return self.line(&cell(object)) };
        let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, value) in members {
            let (name, value) = (printable(name), cell(value));
            writeln!(self.out, "{name:<width$}  {value}")?;
        }
        Ok(self.out.flush()?)
    }
}

/// The table as text. The last column is as wide as it gets.
pub(super) fn table(columns: &[Column], rows: &[Value], with_titles: bool) -> String {
    let titles = || columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>();
    let mut lines = if with_titles { vec![titles()] } else { vec![] };
    lines
        .extend(rows.iter().map(|row| {
            columns.iter().map(|(_, pointer)| cell(row.pointer(pointer).unwrap_or(&Value::Null))).collect()
        }));
    let mut widths: Vec<usize> = titles().iter().map(String::len).collect();
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A value as a cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(cell).collect::<Vec<_>>().join(",")
        }
        other => printable(&other.to_string()),
    }
}

/// A text without what a terminal would take for an order, and on one line.
pub(super) fn printable(text: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_of_a_device_does_not_steer_the_terminal() {
        let row = json!({"label": "\u{1b}[2Jgone\r\n\u{202e}x", "tags": ["a", "\u{7}"], "n": null, "list": []});
        let text = table(&[("LABEL", "/label"), ("TAGS", "/tags"), ("N", "/n"), ("L", "/list")], &[row], true);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains(['\u{1b}', '\r', '\u{7}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn columns_stand_below_their_titles() {
        let rows = [json!({"a": "long text", "b": {"c": 5}}), json!({"a": "x"})];
        let text = table(&[("A", "/a"), ("C", "/b/c")], &rows, true);
        assert_eq!(text, "A          C\nlong text  5\nx          -\n");
    }
}
