//! What was found, and how it is written down.

use crate::machine;
use crate::measure::{Round, cpu_us};
use anyhow::{Context, bail};
use std::path::Path;

const BEGIN: &str = "<!-- written by `eim-load`: begin -->";
const END: &str = "<!-- written by `eim-load`: end -->";

/// The figures of a scenario.
#[derive(Debug)]
pub struct Section {
    title: String,
    load_average: String,
    rows: Vec<(String, Vec<String>)>,
    notes: Vec<String>,
    aims: Vec<Aim>,
}

/// An aim and what came of it.
#[derive(Debug)]
struct Aim {
    aim: String,
    measured: String,
    met: bool,
}

impl Section {
    /// A section that begins now.
    #[must_use]
    pub fn begin(title: &str) -> Self {
        eprintln!("== {title}");
        Self {
            title: title.to_owned(),
            load_average: machine::load_average(),
            rows: Vec::new(),
            notes: Vec::new(),
            aims: Vec::new(),
        }
    }

    /// The rounds of one thing.
    pub fn row(&mut self, what: &str, rounds: &[Round]) {
        let mut cells: Vec<String> = rounds.iter().map(Round::to_string).collect();
        cells.push(format!("{:.1} µs", cpu_us(rounds)));
        eprintln!("   {what}: {}", cells.join("; "));
        self.rows.push((what.to_owned(), cells));
    }

    /// A sentence about the figures.
    pub fn note(&mut self, text: String) {
        eprintln!("   {text}");
        self.notes.push(text);
    }

    /// Whether an aim is met.
    pub fn aim(&mut self, aim: &str, measured: String, met: bool) {
        eprintln!("   {}: {aim}: {measured}", if met { "met" } else { "NOT MET" });
        self.aims.push(Aim { aim: aim.to_owned(), measured, met });
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n\nLoad average when it began: {}.\n", self.title, self.load_average);
        let columns = self.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or_default();
        if columns > 0 {
            let rounds: Vec<String> = (1..columns).map(|round| format!("round {round}")).collect();
            text += &format!(
                "\n| | {} | server's processor time each |\n|---|{}\n",
                rounds.join(" | "),
                "---|".repeat(columns)
            );
            for (what, cells) in &self.rows {
                // The last cell is the processor time, however many rounds there were.
                let (last, rounds) = cells.split_last().map_or((String::new(), &[][..]), |(l, r)| (l.clone(), r));
                let empty = " |".repeat(columns - 1 - rounds.len());
                text += &format!("| {what} | {} |{empty} {last} |\n", rounds.join(" | "));
            }
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            text += &format!("- {note}\n");
        }
        text
    }
}

/// All of it as Markdown.
#[must_use]
pub fn markdown(about: &[(&str, String)], settings: &str, sections: &[Section]) -> String {
    let mut text = String::from("\n| | |\n|---|---|\n");
    for (name, value) in about {
        text += &format!("| {name} | {value} |\n");
    }
    text += &format!("| settings | {settings} |\n\n| aim | measured | |\n|---|---|---|\n");
    for Aim { aim, measured, met } in sections.iter().flat_map(|section| &section.aims) {
        text += &format!("| {aim} | {measured} | {} |\n", if *met { "met" } else { "**not met**" });
    }
    for section in sections {
        text += &section.markdown();
    }
    text + "\n"
}

/// Puts it between the two markers of a file, and leaves the rest as it is.
///
/// # Errors
/// When the file can't be read or written, or has no markers.
pub fn write(file: &Path, generated: &str) -> anyhow::Result<()> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let replaced = replace(&text, generated)?;
    std::fs::write(file, replaced).with_context(name)
}

fn replace(text: &str, generated: &str) -> anyhow::Result<String> {
    let Some((before, rest)) = text.split_once(BEGIN) else { bail!("there is no line {BEGIN}") };
    let Some((_, after)) = rest.split_once(END) else { bail!("there is no line {END} behind the other one") };
    Ok(format!("{before}{BEGIN}\n{generated}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_markers_stays() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let once = replace(&text, "new\n").unwrap();
        assert_eq!(once, format!("above\n{BEGIN}\nnew\n{END}\nbelow\n"));
        assert_eq!(replace(&once, "new\n").unwrap(), once);
        assert!(replace("no markers", "new").is_err());
    }

    #[test]
    fn an_aim_that_is_missed_is_written_as_missed() {
        let mut section = Section::begin("polls");
        section.aim("70%", "69%".to_owned(), false);
        let text = markdown(&[("machine", "this one".to_owned())], "none", &[section]);
        assert!(text.contains("| machine | this one |") && text.contains("| 70% | 69% | **not met** |"), "{text}");
    }
}
