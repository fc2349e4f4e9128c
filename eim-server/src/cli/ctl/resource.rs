//! What all nouns have in common: lists by pages, one thing, a verb on a thing.

use super::console::Column;
use super::{Context, Failure};
use reqwest::Method;
use serde_json::Value;

/// The most items that a page of the API has.
const PAGE_MAX: u32 = 1000;

/// How much of a list is wanted.
#[derive(Debug, clap::Args)]
pub(super) struct Amount {
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Query parameters, as far as they are given.
pub(super) fn query<'a>(parameters: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect()
}

/// Prints a list, page by page.
pub(super) async fn list(
    path: &[&str],
    query: &[(&str, &str)],
    columns: &[Column],
    amount: &Amount,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut left = if amount.all { u64::MAX } else { u64::from(amount.limit) };
    let mut cursor: Option<String> = None;
    let mut first = true;
    loop {
        let limit = left.min(u64::from(PAGE_MAX)).to_string();
        let mut query = query.to_vec();
        query.push(("limit", &limit));
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let page = context.api.get(path, &query).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        print_items(&items, columns, first, context)?;
        first = false;
        left = left.saturating_sub(items.len() as u64);
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() || items.is_empty() {
            return Ok(());
        }
        if left == 0 {
            context.console.note("there are more; see --limit and --all");
            return Ok(());
        }
    }
}

pub(super) fn print_items(
    items: &[Value],
    columns: &[Column],
    with_titles: bool,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    if !context.json {
        return context.console.table(columns, items, with_titles);
    }
    items.iter().try_for_each(|item| context.console.line(&item.to_string()))
}

/// Prints one thing.
pub(super) fn print(thing: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
    match thing {
        Value::Null => Ok(()),
        thing if context.json => context.console.line(&thing.to_string()),
        thing => context.console.members(thing),
    }
}

/// Shows one thing.
pub(super) async fn show(path: &[&str], context: &mut Context<'_>) -> Result<(), Failure> {
    let thing = context.api.get(path, &[]).await?;
    print(&thing, context)
}

/// Sends a body and prints what comes back.
pub(super) async fn send(
    method: Method,
    path: &[&str],
    body: Option<&Value>,
    idempotency_key: Option<&str>,
    context: &mut Context<'_>,
) -> Result<Value, Failure> {
    let thing = context.api.call(method, path, &[], body, idempotency_key).await?;
    print(&thing, context)?;
    Ok(thing)
}

/// A POST without a body, for a verb.
pub(super) async fn verb(path: &[&str], context: &mut Context<'_>) -> Result<(), Failure> {
    send(Method::POST, path, None, None, context).await.map(drop)
}

/// The id of a thing that the server made.
pub(super) fn id_of(thing: &Value) -> Result<String, Failure> {
    let id = thing["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| Failure::Unreachable("the answer has no id".to_owned()))
}

const CHECKS: [Column; 4] = [("CHECK", "/name"), ("RESULT", "/result"), ("MESSAGE", "/message"), ("CURE", "/cure")];

/// Prints what the guard says of a request, and does nothing; one that it would refuse is a failure.
pub(super) async fn plan(path: &[&str], body: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
    let plan = context.api.call(Method::POST, path, &[("dryRun", "true")], Some(body), None).await?;
    if context.json {
        context.console.line(&plan.to_string())?;
    } else {
        let checks = plan["checks"].as_array().cloned().unwrap_or_default();
        if checks.is_empty() {
            context.console.note("nothing of it is for the guard to check");
        } else {
            context.console.table(&CHECKS, &checks, true)?;
        }
    }
    if plan["allowed"] == true { Ok(()) } else { Err(Failure::Refused("the guard would refuse it".to_owned())) }
}
