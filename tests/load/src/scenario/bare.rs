//! Empty polls beside a bare server with the same bodies.

use super::{Sizes, by_turns, small};
use crate::figures::Section;
use crate::measure::Ratio;
use crate::servers::{Bare, Bench};

/// # Errors
/// When a server does not start.
pub async fn empty_polls(bench: &Bench, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut section = Section::begin("Empty polls and the bare server");
    let (bare, eim) = (Bare::start(bench).await?, small(bench, "polls", sizes).await?);
    let eids = bench.pollers.eids(0..sizes.polling);
    let (base, polls) = by_turns(sizes, &eids, &bare, &eim).await?;
    section.row("bare actix-web and rustls, same bodies", &base);
    section.row(&format!("eIM, {} devices with nothing waiting", sizes.polling), &polls);
    let ratio = Ratio::of(&polls, &base);
    section.aim("an empty poll reaches 70% of the bare server", ratio.to_string(), ratio.reaches(0.7));
    eim.stop().await?;
    Ok(section)
}
