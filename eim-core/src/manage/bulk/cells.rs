//! Cells of CSV as spreadsheets take them.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula. Such a cell is
//! written with `'` before it, and that is taken off again on import. So that nothing else changes, a cell that begins with
//! `'` and then one of these, or another `'`, is written in the same way.

/// Adds a cell, quoted where it must be.
pub(super) fn put(out: &mut String, cell: &str) {
    let guard = if needs_guard(cell) { "'" } else { "" };
    if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
        out.push('"');
        out.push_str(guard);
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(guard);
        out.push_str(cell);
    }
}

/// Adds a row.
pub(super) fn put_row<'a>(out: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put(out, cell);
    }
    out.push_str("\r\n");
}

/// A cell without the guard of a formula.
pub(super) fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with('\'') || is_formula(rest) => rest,
        _ => cell,
    }
}

/// Several texts in one cell, separated by `;`. A `;` or `\` within one has a `\` before it.
pub(super) fn join(texts: &[String]) -> String {
    let escaped: Vec<String> = texts.iter().map(|text| text.replace('\\', "\\\\").replace(';', "\\;")).collect();
    escaped.join(";")
}

/// The texts of such a cell; an empty cell has none.
pub(super) fn split(cell: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = String::new();
    let mut letters = cell.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ';' => texts.push(std::mem::take(&mut text)),
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    if !cell.is_empty() {
        texts.push(text);
    }
    texts
}

fn needs_guard(cell: &str) -> bool {
    is_formula(cell) || cell.strip_prefix('\'').is_some_and(|rest| rest.starts_with('\'') || is_formula(rest))
}

fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_written_as_text_and_read_back() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("@cmd", "'@cmd"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("\tx", "'\tx"),
            ("=A1,\"x\"", "\"'=A1,\"\"x\"\"\""),
            ("'=x", "''=x"),
            ("''", "'''"),
            ("'tis", "'tis"),
            ("'", "'"),
            ("plain", "plain"),
            (" x", "\" x\""),
            ("", ""),
        ] {
            let mut out = String::new();
            put(&mut out, cell);
            assert_eq!(out, written);
            let unquoted = match written.strip_prefix('"') {
                Some(quoted) => quoted.trim_end_matches('"').replace("\"\"", "\""),
                None => written.to_owned(),
            };
            let expected = if cell.ends_with('"') { cell.trim_end_matches('"') } else { cell };
            assert_eq!(unguarded(&unquoted), expected);
        }
    }

    #[test]
    fn a_list_in_a_cell_keeps_its_texts() {
        for texts in [vec![], vec!["a"], vec!["a", "b c"], vec!["x;y", "back\\slash", "\\;"]] {
            let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
            assert_eq!(split(&join(&texts)), texts);
        }
        assert_eq!(split("a;;b"), ["a", "", "b"]);
        assert_eq!(split("a\\"), ["a"]);
    }
}
