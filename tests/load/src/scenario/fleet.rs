//! A large fleet beside a small one, memory, latency at half load; and pending operations beside none.

use super::{Sizes, by_turns, small};
use crate::figures::Section;
use crate::measure::{Ratio, grouped, rate};
use crate::process::Memory;
use crate::servers::{Bench, Eim};
use eim_core::ids::Eid;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// The most that a poll may take at half load, milliseconds.
const P99_MS: f64 = 10.0;
/// The most memory, MB.
const MEMORY_MB: u64 = 150;

/// The data directory of the large fleet, for [`pending`] to copy.
const LARGE: &str = "large";

/// Devices that were not polled since the server was started: it has to ask the store for each.
struct Unpolled {
    left: Range<u32>,
}

impl Unpolled {
    fn after(sizes: &Sizes) -> Self {
        Self { left: sizes.polling..sizes.polling + sizes.spread }
    }

    fn take(&mut self, bench: &Bench, most: u32) -> Vec<Eid> {
        let end = self.left.end.min(self.left.start + most);
        let taken = self.left.start..end;
        self.left.start = end;
        bench.pollers.eids(taken)
    }
}

/// The large fleet. Its server is given on to [`pending`].
///
/// # Errors
/// When a server does not start, or a line of an import is not taken.
pub async fn fleet(bench: &Bench, sizes: &Sizes) -> anyhow::Result<(Section, Eim)> {
    let few = grouped(f64::from(sizes.polling));
    let many = grouped(f64::from(sizes.fleet));
    let mut section = Section::begin(&format!("{few} and {many} eUICCs"));
    let small = small(bench, "small", sizes).await?;
    let large = grown(bench, sizes, &mut section).await?;

    let eids = bench.pollers.eids(0..sizes.polling);
    let (base, polls) = by_turns(sizes, &eids, &small, &large).await?;
    small.stop().await?;
    section.row(&format!("{few} devices poll, of {few}"), &base);
    section.row(&format!("the same {few} poll, of {many}"), &polls);
    let warm = Ratio::of(&polls, &base);
    let aim = format!("polls of {few} devices stay within 20% from {few} to {many} eUICCs");
    section.aim(&aim, warm.to_string(), warm.reaches(0.8));

    let mut unpolled = Unpolled::after(sizes);
    let cold_rate = cold(bench, sizes, &large, &mut unpolled, &mut section).await?;
    half_load(bench, sizes, &large, (rate(&polls), cold_rate), &mut unpolled, &mut section).await?;

    let rest = unpolled.take(bench, u32::MAX - sizes.fleet);
    if !rest.is_empty() {
        section.row(
            &format!("{} more polled once each", grouped(rest.len() as f64)),
            &[sizes.client.polls_once(&large, &rest).await?],
        );
    }
    let memory = large.front().memory()?;
    let polled = grouped(f64::from(sizes.polling + sizes.spread));
    let aim = format!("memory under {MEMORY_MB} MB with {many} eUICCs");
    let text = format!("{} after polls of {polled} of them", describe(memory));
    section.aim(&aim, text, memory.peak_mb < MEMORY_MB);
    Ok((section, large))
}

/// Imports the large fleet, lets those devices poll for the first time that will poll later, and starts the server again.
async fn grown(bench: &Bench, sizes: &Sizes, section: &mut Section) -> anyhow::Result<Eim> {
    let large = Eim::embedded(bench, LARGE).await?;
    let started = Instant::now();
    large.import_devices(&bench.pollers, 0..sizes.fleet).await?;
    let taken = started.elapsed().as_secs_f64();
    section.note(format!(
        "{} eUICCs with certificates imported through the API in {taken:.0} s ({}/s); memory of the server {}.",
        grouped(f64::from(sizes.fleet)),
        grouped(f64::from(sizes.fleet) / taken),
        describe(large.front().memory()?)
    ));
    let seen = bench.pollers.eids(0..sizes.polling + sizes.spread);
    let first = sizes.client.polls_once(&large, &seen).await?;
    section.note(format!(
        "First polls, of {} devices, each of which writes that the device was seen: {first}.",
        grouped(seen.len() as f64)
    ));
    large.stop().await?;
    Eim::embedded(bench, LARGE).await
}

/// Polls that the server can't answer from memory: all of a small fleet, and as many of the large one.
async fn cold(
    bench: &Bench,
    sizes: &Sizes,
    large: &Eim,
    unpolled: &mut Unpolled,
    section: &mut Section,
) -> anyhow::Result<f64> {
    let (count, many) = (grouped(f64::from(sizes.cold)), grouped(f64::from(sizes.fleet)));
    let mut base = Eim::embedded(bench, "cold").await?;
    base.import_devices(&bench.pollers, 0..sizes.cold).await?;
    let eids = bench.pollers.eids(0..sizes.cold);
    sizes.client.polls_once(&base, &eids).await?;
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        base.stop().await?;
        base = Eim::embedded(bench, "cold").await?;
        of_few.push(sizes.client.polls_once(&base, &eids).await?);
        let next = unpolled.take(bench, sizes.cold);
        of_many.push(sizes.client.polls_once(large, &next).await?);
    }
    base.stop().await?;
    section.row(&format!("{count} devices poll once each, so that the store is asked, of {count}"), &of_few);
    section.row(&format!("{count} devices poll once each, of {many}"), &of_many);
    let ratio = Ratio::of(&of_many, &of_few);
    let aim = format!("polls that ask the store stay within 20% from {count} to {many} eUICCs");
    section.aim(&aim, ratio.to_string(), ratio.reaches(0.8));
    Ok(rate(&of_many))
}

/// Polls at half the rates that were just measured: answered from memory, and asking the store.
async fn half_load(
    bench: &Bench,
    sizes: &Sizes,
    large: &Eim,
    (warm, cold): (f64, f64),
    unpolled: &mut Unpolled,
    section: &mut Section,
) -> anyhow::Result<()> {
    let eids = bench.pollers.eids(0..sizes.polling);
    let halves = [("answered from memory", warm / 2.0), ("that ask the store", cold / 2.0)];
    for (index, (what, half)) in halves.into_iter().enumerate() {
        let mut client = sizes.client;
        let eids = if index == 0 {
            eids.clone()
        } else {
            let wanted = half * client.duration.as_secs_f64();
            let next = unpolled.take(bench, wanted as u32);
            client.duration = client.duration.mul_f64((next.len() as f64 / wanted).min(1.0));
            next
        };
        let paced = client.paced_polls(large, &eids, half).await?;
        let aim = format!("p99 of polls {what} under {P99_MS:.0} ms at half load");
        let text = format!("{:.2} ms at {}/s", paced.p99_ms(), grouped(paced.report.per_second()));
        section.aim(&aim, text, paced.p99_ms() < P99_MS && paced.report.per_second() > half * 0.98);
        section.row(&format!("half load, polls {what}"), &[paced]);
    }
    section.note(
        "Half load is half the median rate of the same polls, sent at fixed times whatever the answers do. A latency counts from \
         the time a poll was due, with the up to 1 ms by which the client's timer wakes late."
            .to_owned(),
    );
    Ok(())
}

/// Operations pending on others, beside the same fleet without any.
///
/// # Errors
/// When a server does not start, or a line of an import is not taken.
pub async fn pending(bench: &Bench, sizes: &Sizes, large: Eim) -> anyhow::Result<Section> {
    let (many, pending) = (grouped(f64::from(sizes.fleet)), grouped(f64::from(sizes.pending)));
    let mut section = Section::begin(&format!("0 and {pending} pending operations, {many} eUICCs"));
    large.stop().await?;
    copy(&bench.folder.join(LARGE), &bench.folder.join("pending"))?;
    let large = Eim::embedded(bench, LARGE).await?;
    let with = Eim::embedded(bench, "pending").await?;
    let others = sizes.polling + sizes.spread..sizes.fleet;
    let started = Instant::now();
    with.import_operations(&bench.pollers, sizes.pending, others.clone()).await?;
    let taken = started.elapsed().as_secs_f64();
    section.note(format!(
        "{pending} operations queued through the import of the API on {} eUICCs that do not poll, in {taken:.0} s ({}/s); memory of \
         the server {}.",
        grouped(others.len() as f64),
        grouped(f64::from(sizes.pending) / taken),
        describe(with.front().memory()?)
    ));

    let eids = bench.pollers.eids(0..sizes.polling);
    // What the import left behind in memory is not what is compared.
    sizes.client.polls_once(&with, &eids).await?;
    sizes.client.polls_once(&large, &eids).await?;
    let (base, polls) = by_turns(sizes, &eids, &large, &with).await?;
    section.row("none is pending", &base);
    section.row(&format!("{pending} are pending"), &polls);
    let ratio = Ratio::of(&polls, &base);
    section.aim(
        &format!("polls stay within 20% from 0 to {pending} pending operations"),
        ratio.to_string(),
        ratio.reaches(0.8),
    );

    let mut unpolled = Unpolled::after(sizes);
    let (mut base, mut polls) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let next = unpolled.take(bench, sizes.cold);
        base.push(sizes.client.polls_once(&large, &next).await?);
        polls.push(sizes.client.polls_once(&with, &next).await?);
    }
    let count = grouped(f64::from(sizes.cold));
    section.row(&format!("{count} devices poll once each, so that the store is asked; none is pending"), &base);
    section.row(&format!("the same, {pending} are pending"), &polls);
    let ratio = Ratio::of(&polls, &base);
    let aim = format!("polls that ask the store stay within 20% from 0 to {pending} pending operations");
    section.aim(&aim, ratio.to_string(), ratio.reaches(0.8));
    section.note(format!("Memory of the server in the end: {}.", describe(with.front().memory()?)));
    with.stop().await?;
    large.stop().await?;
    Ok(section)
}

fn describe(memory: Memory) -> String {
    format!("{} MB, {} MB at the peak", memory.now_mb, memory.peak_mb)
}

/// Copies the data directory of a server that is stopped.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            // What is still on its way to the disk would hold up the commits that are measured.
            std::fs::File::open(to.join(entry.file_name()))?.sync_all()?;
        }
    }
    Ok(())
}
