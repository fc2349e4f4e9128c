//! The campaign of the demo: made, approved by somebody else, and driven by the devices' polls.

use super::fleet::{CANARY, Members, POOL, TAG};
use super::{get, id_of, post, say};
use anyhow::{bail, ensure};
use eim_simulator::load::Api;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long the devices rest between two sessions.
const PAUSE: Duration = Duration::from_millis(250);
/// After so long without a change the campaign is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the campaign, lets the second person approve it, and starts it. Gives its id.
pub(super) async fn start(api: &mut Api, approver: &mut Api) -> anyhow::Result<String> {
    let body = json!({
        "name": "demo: to profiles from the pool",
        "target": { "filter": { "tags": [TAG] } },
        "plan": { "switch": { "to": { "pool": POOL }, "rollback": true } },
        "waves": [
            { "name": "canary", "filter": { "tags": [CANARY] }, "soakSeconds": 2, "successThreshold": 100 },
            { "name": "rest", "rest": true },
        ],
        "approval": "required",
    });
    let id = id_of(&post(api, "/api/v1/campaigns", Some(&body)).await?)?;
    let verb = |verb: &str| format!("/api/v1/campaigns/{id}/{verb}");
    post(api, &verb("submit"), None).await?;
    let (status, _) = api.call("POST", &verb("start"), None).await?;
    ensure!(status == 409, "a campaign that nobody has approved was started: {status}");
    let approved = post(approver, &verb("approve"), None).await?;
    say(&format!("campaign {id} is approved by {}", approved["history"]["approvedBy"]["name"]));
    post(api, &verb("start"), None).await?;
    Ok(id)
}

/// Lets the devices poll until the campaign is completed, and once more for what the eIM then asks for itself.
pub(super) async fn drive(campaign: &str, members: &mut Members, api: &mut Api) -> anyhow::Result<()> {
    let (mut told, mut changed_at) = (String::new(), Instant::now());
    loop {
        let shown = get(api, &format!("/api/v1/campaigns/{campaign}")).await?;
        let now = progress(&shown);
        if now != told {
            say(&now);
            (told, changed_at) = (now, Instant::now());
        }
        match shown["state"].as_str() {
            Some("completed") => break,
            Some("running" | "approved") => {}
            _ => bail!("the campaign is {}: {}", shown["state"], shown["pause"]),
        }
        ensure!(changed_at.elapsed() < PATIENCE, "the campaign is stuck: {told}");
        members.sessions().await?;
        tokio::time::sleep(PAUSE).await;
    }
    members.sessions().await
}

fn progress(shown: &Value) -> String {
    let mut line = format!("  campaign {}", shown["state"].as_str().unwrap_or_default());
    for wave in shown["waves"].as_array().into_iter().flatten() {
        let name = wave["name"].as_str().unwrap_or_default();
        let (devices, pending, ended) = (&wave["devices"], &wave["pending"], &wave["ended"]);
        // Writing to a String can't fail.
        let _ = write!(line, "; {name}: {devices} devices, {pending} wait, {ended} ended");
        for (outcome, count) in wave["outcomes"].as_object().into_iter().flatten() {
            let _ = write!(line, ", {outcome} {count}");
        }
    }
    line
}
