//! One node (front and worker) beside two, on one PostgreSQL and one RabbitMQ.

use super::Sizes;
use super::cycles::{Cycling, measured_cycles};
use crate::figures::Section;
use crate::measure::{Ratio, Round};
use crate::servers::{Bench, Eim};
use std::ops::Range;

/// Devices for cycles have indices from here on.
const CYCLING_FROM: u32 = 10_000_000;

/// # Errors
/// When a server does not start, or PostgreSQL or RabbitMQ can't be reached.
pub async fn nodes(bench: &Bench, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut section = Section::begin("One node and two, on PostgreSQL and RabbitMQ");
    bench.prepare_production().await?;
    let first = Eim::production(bench, "node-1").await?;
    first.import_devices(&bench.pollers, 0..sizes.polling).await?;
    let eids = bench.pollers.eids(0..sizes.polling);
    sizes.client.polls_once(&first, &eids).await?;

    let (mut polls, mut cycles) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..sizes.rounds as u32 {
        let [one, two] = [0, 1].map(|half| CYCLING_FROM + (2 * round + half) * sizes.cycling);
        polls[0].push(sizes.client.polls(&first, &eids).await?);
        cycles[0].push(cycle(sizes, &[&first], one..one + sizes.cycling).await?);
        let second = Eim::production(bench, "node-2").await?;
        let both = [&first, &second];
        polls[1].push(sizes.client.polls(both.as_slice(), &eids).await?);
        cycles[1].push(cycle(sizes, &both, two..two + sizes.cycling).await?);
        second.stop().await?;
    }
    first.stop().await?;
    for (what, [one, two]) in [("polls", polls), ("cycles", cycles)] {
        section.row(&format!("{what}, one front with a worker"), &one);
        section.row(&format!("{what}, two fronts with two workers"), &two);
        section.note(format!("Two nodes beside one, {what}: {}.", Ratio::of(&two, &one)));
    }
    section.note(
        "Client, nodes, PostgreSQL and RabbitMQ share the cores of one machine, so a second node adds no computing power here; the \
         ratio shows what sharing a database costs. Processor time is that of fronts and workers alone. On PostgreSQL every poll asks \
         the store."
            .to_owned(),
    );
    Ok(section)
}

async fn cycle(sizes: &Sizes, nodes: &[&Eim], devices: Range<u32>) -> anyhow::Result<Round> {
    let share = sizes.cycling / nodes.len().max(1) as u32;
    let mut cycling = Vec::new();
    for (number, node) in (0..).zip(nodes) {
        cycling.push(Cycling::prepare(node, devices.start + number * share, share).await?);
    }
    let options = sizes.client.cycle_options(nodes);
    measured_cycles(nodes, cycling, options).await
}
