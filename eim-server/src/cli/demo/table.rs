//! The account of the demo on standard output.

use super::outcome::{Ended, enabled};
use eim_simulator::ipa::Binding;
use std::fmt::Write;

/// A line for each device, one for each wave, and one for each thing that is wrong.
pub(super) fn of(ended: &Ended) -> String {
    let mut table = format!(
        "{:<32}  {:<5}  {:<13}  {:<6}  {:<20}  {:<21}  {:<14}  why\n",
        "EID", "via", "part", "wave", "enabled on the eUICC", "enabled, says the eIM", "outcome"
    );
    for row in &ended.rows {
        let via = match row.binding {
            Binding::Asn1 => "ASN.1",
            Binding::Json => "JSON",
        };
        let wave = ended.waves.get(row.record.wave).map_or("-", |wave| wave.name.as_str());
        let real = enabled(&row.truth).map_or("-", String::as_str);
        let shown = enabled(&row.record.profiles).map_or("-", String::as_str);
        // Writing to a String can't fail.
        let _ = writeln!(
            table,
            "{:<32}  {via:<5}  {:<13}  {wave:<6}  {real:<20}  {shown:<21}  {:<14}  {}",
            row.eid.to_string(),
            row.part.name(),
            row.record.outcome,
            row.record.why
        );
    }
    for wave in &ended.waves {
        let counts: Vec<String> = wave.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let _ = writeln!(table, "wave {}: {} devices: {}", wave.name, wave.devices, counts.join(", "));
    }
    for difference in ended.differences() {
        let _ = writeln!(table, "WRONG {difference}");
    }
    table
}
