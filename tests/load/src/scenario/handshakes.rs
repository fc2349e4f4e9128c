//! A TLS connection for each poll, beside the bare server: whole handshakes, and resumed ones.

use super::{Sizes, small};
use crate::figures::Section;
use crate::measure::Ratio;
use crate::servers::{Bare, Bench};
use eim_simulator::load::Handshakes;

/// # Errors
/// When a server does not start, or handshakes are not what they were to be.
pub async fn handshakes(bench: &Bench, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut section = Section::begin("Handshakes: a TLS connection for each poll");
    let (bare, eim) = (Bare::start(bench).await?, small(bench, "handshakes", sizes).await?);
    let eids = bench.pollers.eids(0..sizes.polling);
    for (kind, name) in [(Handshakes::Full, "full"), (Handshakes::Resumed, "resumed")] {
        let (mut base, mut of) = (Vec::new(), Vec::new());
        for _ in 0..sizes.rounds {
            base.push(sizes.client.handshakes(&bare, &eids, kind).await?);
            of.push(sizes.client.handshakes(&eim, &eids, kind).await?);
        }
        section.row(&format!("{name}, bare"), &base);
        section.row(&format!("{name}, eIM"), &of);
        let ratio = Ratio::of(&of, &base);
        let aim = format!("{name} handshakes reach 85% of the bare server");
        section.aim(&aim, ratio.to_string(), ratio.reaches(0.85));
    }
    section.note(
        "A time is that of TCP connection, handshake, poll and answer together. TLS itself tells the client whether a \
         session was resumed; the run fails when more than one in a thousand was not as it should be."
            .to_owned(),
    );
    eim.stop().await?;
    Ok(section)
}
