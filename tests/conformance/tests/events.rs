//! The stream of events and webhooks, through the front door (issue point 8 of fleet operations).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use eim_conformance::{
    Backend, Binding, Mode, Receiver, Reply, Role, World, each_mode, each_store, front_with, run_with,
};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const EIDS: [&str; 3] =
    ["89049032000000000000000000000163", "89049032000000000000000000000260", "89049032000000000000000000000357"];

async fn register(world: &World, eid: &str, tags: &[&str]) {
    let reply = world.post("/api/v1/euiccs", json!({ "eid": eid, "tags": tags })).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

async fn admin(world: &World, method: &str, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.send(Role::Admin, method, path, &[], body).await
}

/// Makes a webhook; gives its path and its secret.
async fn webhook(world: &World, receiver: &Receiver, more: Value) -> (String, String) {
    let mut body = json!({ "url": receiver.url() });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let reply = admin(world, "POST", "/api/v1/webhooks", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert_eq!(reply.header("location"), Some(path.as_str()));
    (path, made["secret"].as_str().unwrap().to_owned())
}

/// Pages of the stream from a position to the end, and the position there.
async fn read(world: &World, query: &str, after: &str) -> (Vec<Value>, String) {
    let (mut items, mut after) = (vec![], after.to_owned());
    loop {
        let page = world.get(&format!("/api/v1/events?{query}&after={after}")).await;
        items.extend(page["items"].as_array().unwrap().clone());
        after = page["nextCursor"].as_str().unwrap().to_owned();
        if page["more"] == false {
            return (items, after);
        }
    }
}

/// The stream, once it has this many events. Transactions of others on the same server may hold them back for a moment.
async fn read_all(world: &World, query: &str, count: usize) -> Vec<Value> {
    world.until("the events are in the stream", async || read(world, query, "").await.0.len() >= count).await;
    let items = read(world, query, "").await.0;
    assert_eq!(items.len(), count, "{items:?}");
    items
}

fn types(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["type"].as_str().unwrap()).collect()
}

#[test]
fn the_stream_gives_every_event_once_as_a_cloud_event() {
    each_store(async |world: &mut World| {
        let (_, end) = read(world, "", "").await;
        for eid in EIDS {
            register(world, eid, &[]).await;
        }
        world.clock.advance(TimeDelta::seconds(5));
        let operation = world.queue(EIDS[1], json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        let items = read_all(world, "limit=2", 4).await;
        assert_eq!(types(&items), ["eim.registered", "eim.registered", "eim.registered", "eim.operationQueued"]);
        let ids: BTreeSet<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 4);
        let eim_id = world.eim_id().await;
        let expected = json!({
            "specversion": "1.0",
            "id": items[3]["id"],
            "source": format!("/eims/{eim_id}"),
            "type": "eim.operationQueued",
            "time": "2026-01-01T00:00:05.000Z",
            "subject": format!("euiccs/{}", EIDS[1]),
            "datacontenttype": "application/json",
            "data": { "operation": operation, "kind": "psmo" },
        });
        assert_eq!(items[3], expected);
        // from a position on, and nothing behind the end
        let (again, last) = read(world, "limit=1", &end).await;
        assert_eq!(again, items);
        assert_eq!(read(world, "", &last).await.0, Vec::<Value>::new());
        let now = world.get("/api/v1/events?after=end").await;
        assert_eq!((&now["items"], &now["more"]), (&json!([]), &json!(false)));
        register(world, "89049032000000000000000000000454", &[]).await;
        let from_now_on = now["nextCursor"].as_str().unwrap();
        world.until("the new one comes", async || !read(world, "", from_now_on).await.0.is_empty()).await;
        assert_eq!(read(world, "", from_now_on).await.0.len(), 1);
        // filters
        for (query, count) in [
            ("type=eim.registered", 4),
            ("type=eim.operation*", 1),
            ("type=*", 5),
            (&*format!("eid={}", EIDS[1]), 2),
            (&*format!("subject=euiccs/{}", EIDS[0]), 1),
            (&*format!("eid={}&type=eim.stateChange", EIDS[1]), 0),
            ("subject=campaigns/none", 0),
        ] {
            assert_eq!(read(world, query, "").await.0.len(), count, "{query}");
        }
    });
}

#[test]
fn what_the_stream_is_asked_for_is_judged() {
    each_store(async |world: &mut World| {
        register(world, EIDS[0], &[]).await;
        for (query, status, pointer) in [
            ("after=x", 422, "/after"),
            ("after=1", 422, "/after"),
            ("after=-1.0", 422, "/after"),
            ("after=9223372036854775807.1", 422, "/after"),
            ("type=registered", 422, "/type"),
            ("type=eim.nothing", 422, "/type"),
            ("type=eim.nothing*", 422, "/type"),
            ("eid=1", 422, "/eid"),
            ("limit=0", 422, "/limit"),
            ("limit=1001", 422, "/limit"),
            ("limit=x", 400, "/limit"),
            ("types=eim.registered", 400, "/types"),
            ("cursor=0.0", 400, "/cursor"),
        ] {
            let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/events?{query}"), &[], "").await;
            assert_eq!(reply.pointers(status), [pointer], "{query}");
            let stream = [("accept", "text/event-stream")];
            let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/events?{query}"), &stream, "").await;
            assert_eq!(reply.pointers(status), [pointer], "{query}");
        }
        assert_eq!(world.send(Role::Nobody, "GET", "/api/v1/events", &[], "").await.status, 401);
    });
}

type Postgres = AsyncConnectionWrapper<AsyncPgConnection>;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A transaction that is open beside the server, on a thread of its own: the blocking connection has a runtime inside.
struct Beside {
    orders: std::sync::mpsc::Sender<Option<String>>,
    done: std::sync::mpsc::Receiver<i64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Beside {
    fn begin(url: &str) -> Self {
        let (orders, taken) = std::sync::mpsc::channel::<Option<String>>();
        let (tell, done) = std::sync::mpsc::channel();
        let url = url.to_owned();
        let thread = std::thread::spawn(move || {
            let mut conn = Postgres::establish(&url).unwrap();
            conn.batch_execute("BEGIN").unwrap();
            while let Ok(Some(sql)) = taken.recv() {
                let number: Number = sql_query(sql).get_result(&mut conn).unwrap();
                tell.send(number.number).unwrap();
            }
            conn.batch_execute("COMMIT").unwrap();
        });
        Self { orders, done, thread: Some(thread) }
    }

    fn number(&self, sql: &str) -> i64 {
        self.orders.send(Some(sql.to_owned())).unwrap();
        self.done.recv().unwrap()
    }

    /// Takes its place among the transactions.
    fn takes_part(&self) -> i64 {
        self.number("SELECT pg_current_xact_id()::text::bigint AS number")
    }

    fn writes(&self, event_type: &str) -> i64 {
        self.number(&format!(
            "INSERT INTO events (tenant_id, eid, at, event_type, details) VALUES (1, '', 0, '{event_type}', '{{}}') \
             RETURNING seq AS number"
        ))
    }

    fn commit(mut self) {
        self.orders.send(None).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_reader_does_not_pass_over_what_is_committed_later() {
    let mode = Mode { backend: Backend::Postgres, broker: false };
    run_with(
        &[mode],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let url = world.postgres_url().unwrap();
            let (_, start) = read(world, "", "").await;
            // The first transaction has the lower number and writes last; the second commits last.
            let (first, second) = (Beside::begin(&url), Beside::begin(&url));
            assert!(first.takes_part() < second.takes_part());
            let low = second.writes("resultHeld");
            let high = first.writes("changed");
            assert!(low < high);
            register(world, EIDS[0], &[]).await;
            // While the first is open, nothing behind it is given, though the registration is committed.
            assert_eq!(read(world, "", &start).await.0, Vec::<Value>::new());
            first.commit();
            let seen = async || read(world, "", &start).await;
            world.until("the first event comes", async || !seen().await.0.is_empty()).await;
            let (items, after) = seen().await;
            assert_eq!(types(&items), ["eim.changed"], "the higher number is given, and nothing of what waits");
            assert_eq!(items[0]["id"], high.to_string());
            second.commit();
            world.until("the others come", async || read(world, "", &after).await.0.len() == 2).await;
            let (items, _) = read(world, "", &after).await;
            assert_eq!(types(&items), ["eim.resultHeld", "eim.registered"], "the lower number was not passed over");
            assert_eq!(items[0]["id"], low.to_string());
        },
    );
}

/// A stream of server-sent events.
struct Stream {
    body: Incoming,
    text: String,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Stream {
    /// Opens one, as soon as there is a place for it: the server has to notice that a client is gone.
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let opened = std::cell::RefCell::new(None);
        world
            .until("a stream is opened", async || {
                let stream = Self::try_open(world, query, last).await;
                opened.replace(stream);
                opened.borrow().is_some()
            })
            .await;
        opened.into_inner().unwrap()
    }

    async fn try_open(world: &World, query: &str, last: Option<&str>) -> Option<Self> {
        let tcp = tokio::net::TcpStream::connect(world.server().api_addr).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let mut request = hyper::Request::get(format!("/api/v1/events?{query}"))
            .header("host", "localhost")
            .header("accept", "text/event-stream")
            .header("authorization", world.bearer(Role::Viewer).unwrap());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        if response.status() == 503 {
            driver.abort();
            return None;
        }
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Some(Self { body: response.into_body(), text: String::new(), driver })
    }

    /// The next message: its id, its event and its data.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            while let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some((field("id: ").unwrap(), field("event: ").unwrap(), data));
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }
}

#[test]
fn events_are_streamed_as_they_happen_and_a_client_goes_on_where_it_was() {
    let modes = [Mode::EMBEDDED, Mode { backend: Backend::Postgres, broker: false }];
    run_with(
        &modes,
        &[Binding::Asn1],
        |config| config.api.event_streams = 1,
        async |world: &mut World| {
            register(world, EIDS[0], &[]).await;
            let mut stream = Stream::open(world, "", None).await;
            let (first, event, data) = stream.next().await.unwrap();
            assert_eq!((event.as_str(), &data["subject"]), ("eim.registered", &json!(format!("euiccs/{}", EIDS[0]))));
            register(world, EIDS[1], &[]).await;
            let (_, _, data) = stream.next().await.unwrap();
            assert_eq!(data["subject"], format!("euiccs/{}", EIDS[1]));
            assert_eq!(read_all(world, "", 2).await[1], data, "the same as by pages");
            let accept = [("accept", "text/event-stream")];
            let refused = world.send(Role::Viewer, "GET", "/api/v1/events", &accept, "").await;
            assert_eq!(refused.problem(503)["type"], "urn:eim:problem:unavailable");
            drop(stream);
            register(world, EIDS[2], &[]).await;
            let mut stream = Stream::open(world, "type=eim.registered", Some(&first)).await;
            let subjects = [stream.next().await.unwrap().2, stream.next().await.unwrap().2];
            assert_eq!(subjects[0]["subject"], format!("euiccs/{}", EIDS[1]));
            assert_eq!(subjects[1]["subject"], format!("euiccs/{}", EIDS[2]));
            // The end of the server is the end of the stream, and not a wait.
            world.crash_and_restart().await;
            assert!(stream.next().await.is_none());
        },
    );
}

#[test]
fn a_webhook_gets_signed_events_in_order() {
    each_mode(async |world: &mut World| {
        let receiver = Receiver::start().await;
        register(world, EIDS[0], &[]).await;
        // A webhook begins where the stream has settled, so what happened before has to be in it.
        read_all(world, "", 1).await;
        let (path, secret) = webhook(world, &receiver, json!({ "description": "all" })).await;
        let shown = world.get(&path).await;
        assert_eq!((&shown["secret"], &shown["state"], &shown["types"]), (&Value::Null, &json!("active"), &json!([])));
        register(world, EIDS[1], &[]).await;
        let mut expected = vec![format!("euiccs/{}", EIDS[1])];
        for _ in 0..20 {
            world.queue(EIDS[1], json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            expected.push(format!("euiccs/{}", EIDS[1]));
        }
        let (began, looks) = (world.now().timestamp(), std::cell::Cell::new(0));
        let all = async || {
            looks.set(looks.get() + 1);
            // One that was not taken at the first try is sent again after a pause, for which the clock has to move.
            if looks.get() % 400 == 0 {
                world.advance(TimeDelta::seconds(20)).await;
            }
            receiver.taken().len() == 21
        };
        world.until("all are delivered", all).await;
        let delivered = receiver.all();
        let stream = read_all(world, "", 22).await;
        let events: Vec<Value> = delivered.iter().map(|one| one.event()).collect();
        assert_eq!(events, stream[1..], "what happened before is not sent, what happened since is, in order");
        let times = began..=world.now().timestamp();
        for one in &delivered {
            assert_eq!(one.signed_with(&secret), 1);
            assert_eq!(one.header("webhook-id"), one.event()["id"].as_str().unwrap());
            assert!(times.contains(&one.header("webhook-timestamp").parse().unwrap()));
            assert!(one.header("content-type").starts_with("application/cloudevents+json"));
        }
        let shown = world.get(&path).await;
        assert_eq!((&shown["delivered"], shown["lastSuccessAt"].is_string()), (&json!(21), true), "{shown}");
        // Removed, it gets nothing more.
        assert_eq!(admin(world, "DELETE", &path, Value::Null).await.status, 204);
        assert_eq!(admin(world, "DELETE", &path, Value::Null).await.status, 404);
        assert_eq!(admin(world, "GET", &path, Value::Null).await.status, 404);
        let other = Receiver::start().await;
        webhook(world, &other, json!({})).await;
        register(world, EIDS[2], &[]).await;
        world.until("the other one gets it", async || other.taken().len() == 1).await;
        assert_eq!(receiver.all().len(), 21);
    });
}

#[test]
fn a_webhook_gets_what_its_filter_lets_through() {
    each_store(async |world: &mut World| {
        let [by_type, by_eid, by_tags, all] =
            [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
        webhook(world, &by_type, json!({ "types": ["eim.operationQueued", "eim.chang*"] })).await;
        webhook(world, &by_eid, json!({ "filter": { "eid": EIDS[1] } })).await;
        webhook(world, &by_tags, json!({ "filter": { "tags": ["berlin", "meter"] } })).await;
        webhook(world, &all, json!({})).await;
        register(world, EIDS[0], &["berlin", "meter", "new"]).await;
        register(world, EIDS[1], &["berlin"]).await;
        world.patch(EIDS[1], json!({ "label": "one" })).await;
        world.queue(EIDS[0], json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        world.until("all are delivered", async || all.taken().len() == 4).await;
        world
            .until("each has got its part", async || {
                (by_type.taken().len(), by_eid.taken().len(), by_tags.taken().len()) == (2, 2, 2)
            })
            .await;
        assert_eq!(by_type.types(), ["eim.changed", "eim.operationQueued"]);
        assert_eq!(by_eid.types(), ["eim.registered", "eim.changed"]);
        assert_eq!(by_tags.types(), ["eim.registered", "eim.operationQueued"]);
    });
}

#[test]
fn a_rotated_secret_signs_beside_the_new_one_for_a_while() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        let (path, old) = webhook(world, &receiver, json!({})).await;
        let rotate = format!("{path}/rotate-secret");
        let reply = admin(world, "POST", &rotate, json!({ "overlapSeconds": 60 })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let rotated = reply.json();
        let new = rotated["secret"].as_str().unwrap().to_owned();
        assert_ne!(old, new);
        assert_eq!(rotated["oldSecretValidUntil"], "2026-01-01T00:01:00.000Z");
        register(world, EIDS[0], &[]).await;
        world.until("it is delivered", async || receiver.taken().len() == 1).await;
        let one = &receiver.taken()[0];
        assert_eq!((one.signed_with(&new), one.signed_with(&old)), (1, 1));
        assert_eq!(one.header("webhook-signature").split(' ').count(), 2);
        world.advance(TimeDelta::seconds(60)).await;
        register(world, EIDS[1], &[]).await;
        world.until("it is delivered", async || receiver.taken().len() == 2).await;
        let two = &receiver.taken()[1];
        assert_eq!((two.signed_with(&new), two.signed_with(&old)), (1, 0));
        assert_eq!(two.header("webhook-signature").split(' ').count(), 1);
        assert_eq!(world.get(&path).await["oldSecretValidUntil"], Value::Null);
        // At once, when the old one has leaked.
        let reply = admin(world, "POST", &rotate, json!({ "overlapSeconds": 0 })).await;
        let newest = reply.json()["secret"].as_str().unwrap().to_owned();
        register(world, EIDS[2], &[]).await;
        world.until("it is delivered", async || receiver.taken().len() == 3).await;
        let three = &receiver.taken()[2];
        assert_eq!((three.signed_with(&newest), three.signed_with(&new)), (1, 0));
        for seconds in [json!(-1), json!(2_592_001), json!("60"), json!(1.5)] {
            let reply = admin(world, "POST", &rotate, json!({ "overlapSeconds": seconds })).await;
            assert_eq!(reply.pointers(422), ["/overlapSeconds"]);
        }
        assert_eq!(admin(world, "POST", &rotate, json!({ "overlap": 1 })).await.pointers(422), ["/overlap"]);
    });
}

/// Moves the clock and looks for webhooks that may be tried.
async fn advance(world: &World, by: TimeDelta) {
    world.advance(by).await;
    eim_core::jobs::wake_webhooks(&world.server().eim).await.unwrap();
}

#[test]
fn a_webhook_that_fails_is_tried_again_in_order_and_holds_up_nobody() {
    each_store(async |world: &mut World| {
        let (failing, healthy) = (Receiver::start().await, Receiver::start().await);
        failing.answer(500);
        let of_devices = json!({ "types": ["eim.registered"] });
        let (path, _) = webhook(world, &failing, of_devices.clone()).await;
        webhook(world, &healthy, of_devices).await;
        for eid in EIDS {
            register(world, eid, &[]).await;
        }
        world.until("the healthy one gets all", async || healthy.taken().len() == 3).await;
        world.until("the other one fails", async || world.get(&path).await["state"] == "failing").await;
        let shown = world.get(&path).await;
        assert_eq!(shown["attempts"], 1);
        assert_eq!(shown["nextAttemptAt"], "2026-01-01T00:00:10.000Z");
        assert!(shown["lastError"].as_str().unwrap().contains("500"), "{shown}");
        // Not before its time, and then twice as late, and with the same event alone.
        for (wait, attempts) in [(10, 2), (20, 3), (40, 4)] {
            advance(world, TimeDelta::seconds(wait - 1)).await;
            assert_eq!(world.get(&path).await["attempts"], attempts - 1);
            advance(world, TimeDelta::seconds(1)).await;
            world.until("it is tried again", async || world.get(&path).await["attempts"] == attempts).await;
        }
        let ids: BTreeSet<String> = failing.all().iter().map(|one| one.header("webhook-id").to_owned()).collect();
        assert_eq!((ids.len(), failing.all().len()), (1, 4));
        // A redirect is a failure, too, and nobody is called behind it.
        failing.answer(302);
        advance(world, TimeDelta::seconds(80)).await;
        world.until("it is tried again", async || world.get(&path).await["attempts"] == 5).await;
        failing.answer(200);
        advance(world, TimeDelta::seconds(160)).await;
        world.until("it gets all", async || failing.taken().len() == 3).await;
        let order =
            |receiver: &Receiver| receiver.taken().iter().map(|one| one.event()["id"].clone()).collect::<Vec<_>>();
        assert_eq!(order(&failing), order(&healthy));
        world.until("it is well", async || world.get(&path).await["state"] == "active").await;
        let shown = world.get(&path).await;
        assert_eq!(
            (&shown["attempts"], &shown["lastError"], &shown["failingSince"]),
            (&json!(0), &Value::Null, &Value::Null)
        );
        let own = format!("subject=webhooks/{}", shown["id"].as_str().unwrap());
        assert_eq!(types(&read_all(world, &own, 2).await), ["eim.webhookFailing", "eim.webhookRecovered"]);
        assert!(world.metric("eim_webhook_deliveries_total", &["outcome=\"failed\""]).await >= 5.0);
    });
}

#[test]
fn what_is_not_taken_for_three_days_goes_to_the_dead_letters() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        receiver.answer(503);
        let (path, secret) = webhook(world, &receiver, json!({ "types": ["eim.registered"] })).await;
        register(world, EIDS[0], &[]).await;
        world.until("it fails", async || receiver.all().len() == 1).await;
        world.until("that is known", async || world.get(&path).await["attempts"] == 1).await;
        advance(world, TimeDelta::days(3) - TimeDelta::seconds(1)).await;
        world.until("it fails", async || world.get(&path).await["attempts"] == 2).await;
        let dead = format!("{path}/deliveries?state=dead");
        assert_eq!(world.get(&dead).await["items"], json!([]), "not before three days");
        advance(world, TimeDelta::days(1)).await;
        world.until("it is given up", async || world.get(&dead).await["items"] != json!([])).await;
        let letter = world.get(&dead).await["items"][0].clone();
        assert_eq!(
            (&letter["state"], &letter["status"], &letter["eventType"]),
            (&json!("dead"), &json!(503), &json!("eim.registered"))
        );
        assert_eq!(letter["event"]["subject"], format!("euiccs/{}", EIDS[0]));
        // It goes on with the next one, which has a time of its own.
        register(world, EIDS[1], &[]).await;
        advance(world, TimeDelta::hours(6)).await;
        world
            .until("the next one is tried", async || {
                receiver.all().last().unwrap().event()["subject"] == format!("euiccs/{}", EIDS[1])
            })
            .await;
        assert_eq!(world.get(&dead).await["items"].as_array().unwrap().len(), 1);
        receiver.answer(204);
        advance(world, TimeDelta::hours(7)).await;
        world.until("it is taken", async || receiver.taken().len() == 1).await;
        // The dead letter is sent once more when somebody wants it.
        let id = letter["id"].as_str().unwrap();
        let retry = format!("/api/v1/webhook-deliveries/{id}/retry");
        assert_eq!(world.post(&retry, Value::Null).await.status, 403);
        assert_eq!(admin(world, "POST", &retry, Value::Null).await.status, 202);
        world.until("it is taken", async || receiver.taken().len() == 2).await;
        let one = &receiver.taken()[1];
        assert_eq!((one.event(), one.signed_with(&secret)), (letter["event"].clone(), 1));
        let shown = format!("/api/v1/webhook-deliveries/{id}");
        world.until("that is known", async || world.get(&shown).await["state"] == "delivered").await;
        let problem = admin(world, "POST", &retry, Value::Null).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:delivery-not-dead");
    });
}

#[test]
fn an_event_goes_to_the_dead_letters_at_once_when_the_address_is_gone() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        receiver.answer(410);
        let (path, _) = webhook(world, &receiver, json!({ "types": ["eim.registered"] })).await;
        for eid in EIDS {
            register(world, eid, &[]).await;
        }
        let dead = format!("{path}/deliveries?state=dead");
        let letters = async || world.get(&dead).await["items"].as_array().unwrap().clone();
        world.until("all are given up", async || letters().await.len() == 3).await;
        let subjects: Vec<Value> = letters().await.iter().map(|letter| letter["event"]["subject"].clone()).collect();
        assert_eq!(subjects, EIDS.map(|eid| json!(format!("euiccs/{eid}"))));
        // One that fails again is a dead letter again.
        let id = letters().await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(
            admin(world, "POST", &format!("/api/v1/webhook-deliveries/{id}/retry"), Value::Null).await.status,
            202
        );
        let shown = format!("/api/v1/webhook-deliveries/{id}");
        world.until("it was tried", async || world.get(&shown).await["attempts"] == 1).await;
        assert_eq!(world.get(&shown).await["state"], "dead");
        let pages = world.get(&format!("{dead}&limit=2")).await;
        let rest = world.get(&format!("{dead}&limit=2&cursor={}", pages["nextCursor"].as_str().unwrap())).await;
        assert_eq!((pages["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 1));
    });
}

#[test]
fn the_events_of_a_time_are_sent_once_more() {
    each_store(async |world: &mut World| {
        register(world, EIDS[0], &[]).await;
        world.advance(TimeDelta::hours(1)).await;
        register(world, EIDS[1], &[]).await;
        world.patch(EIDS[1], json!({ "label": "one" })).await;
        world.advance(TimeDelta::hours(1)).await;
        register(world, EIDS[2], &[]).await;
        read_all(world, "", 4).await;
        let receiver = Receiver::start().await;
        let (path, secret) = webhook(world, &receiver, json!({ "types": ["eim.registered"] })).await;
        let replay = format!("{path}/replay");
        let body = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T02:00:00+00:00" });
        let key = [("idempotency-key", "again")];
        for _ in 0..2 {
            let reply = world.send(Role::Admin, "POST", &replay, &key, body.to_string()).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
        }
        world.until("the replay is over", async || world.get(&path).await["replay"].is_null()).await;
        let subjects: Vec<Value> = receiver.taken().iter().map(|one| one.event()["subject"].clone()).collect();
        assert_eq!(subjects, [json!(format!("euiccs/{}", EIDS[0])), json!(format!("euiccs/{}", EIDS[1]))]);
        assert!(receiver.taken().iter().all(|one| one.signed_with(&secret) == 1));
        // One at a time.
        receiver.answer(500);
        assert_eq!(admin(world, "POST", &replay, body.clone()).await.status, 202);
        world.until("it fails", async || world.get(&path).await["state"] == "failing").await;
        let problem = admin(world, "POST", &replay, body.clone()).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:replay-under-way");
        for (body, pointers) in [
            (json!({}), vec!["/from", "/to"]),
            (json!({ "from": "yesterday", "to": "2026-01-01T00:00:00Z" }), vec!["/from"]),
            (json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), vec!["/to"]),
            (json!({ "from": "2027-01-01T00:00:00Z", "to": "2027-01-02T00:00:00Z" }), vec!["/from"]),
            (json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z", "eid": 1 }), vec!["/eid"]),
        ] {
            assert_eq!(admin(world, "POST", &replay, body.clone()).await.pointers(422), pointers, "{body}");
        }
    });
}

#[test]
fn a_test_is_sent_once_and_shows_what_became_of_it() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        let (path, secret) = webhook(world, &receiver, json!({ "enabled": false, "types": ["eim.registered"] })).await;
        assert_eq!(world.get(&path).await["state"], "disabled");
        let test = async || {
            let reply = admin(world, "POST", &format!("{path}/test"), Value::Null).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            reply.header("location").unwrap().to_owned()
        };
        let good = test().await;
        world.until("it is delivered", async || world.get(&good).await["state"] == "delivered").await;
        let one = &receiver.taken()[0];
        assert_eq!((one.event()["type"].as_str(), one.signed_with(&secret)), (Some("eim.webhookTest"), 1));
        assert_eq!(world.get(&good).await["status"], 204);
        // Also while the webhook waits because it fails.
        assert_eq!(admin(world, "PATCH", &path, json!({ "enabled": true })).await.status, 200);
        receiver.answer(500);
        register(world, EIDS[1], &[]).await;
        world.until("it fails", async || world.get(&path).await["state"] == "failing").await;
        receiver.answer(204);
        let another = test().await;
        world.until("it is delivered", async || world.get(&another).await["state"] == "delivered").await;
        assert_eq!(world.get(&path).await["state"], "failing", "the event waits for its time");
        assert_eq!(admin(world, "PATCH", &path, json!({ "enabled": false })).await.status, 200);
        receiver.answer(418);
        let bad = test().await;
        world.until("it is not taken", async || world.get(&bad).await["state"] == "dead").await;
        assert_eq!(world.get(&bad).await["status"], 418);
        // What happened while it was disabled is sent when it is enabled.
        register(world, EIDS[0], &[]).await;
        receiver.answer(200);
        assert_eq!(admin(world, "PATCH", &path, json!({ "enabled": true })).await.status, 200);
        world.until("it is delivered", async || receiver.types().contains(&"eim.registered".to_owned())).await;
        world.until("the one before it, too", async || receiver.types().len() >= 4).await;
        let order: Vec<Value> = receiver.taken()[2..4].iter().map(|one| one.event()["subject"].clone()).collect();
        assert_eq!(order, [EIDS[1], EIDS[0]].map(|eid| json!(format!("euiccs/{eid}"))));
    });
}

#[test]
fn nothing_is_lost_when_the_server_dies() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        receiver.answer(500);
        let (path, _) = webhook(world, &receiver, json!({ "types": ["eim.registered"] })).await;
        register(world, EIDS[0], &[]).await;
        world.until("it fails", async || world.get(&path).await["attempts"] == 1).await;
        register(world, EIDS[1], &[]).await;
        world.crash_and_restart().await;
        receiver.answer(200);
        register(world, EIDS[2], &[]).await;
        advance(world, TimeDelta::seconds(10)).await;
        world.until("all are delivered", async || receiver.taken().len() == 3).await;
        let subjects: Vec<Value> = receiver.taken().iter().map(|one| one.event()["subject"].clone()).collect();
        assert_eq!(subjects, EIDS.map(|eid| json!(format!("euiccs/{eid}"))));
    });
}

#[test]
fn a_front_leaves_deliveries_to_a_worker() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("secrets.key");
    std::fs::write(&key, "5e".repeat(32)).unwrap();
    front_with(
        |config| config.secrets.key = Some(key.clone()),
        async |world: &mut World| {
            let receiver = Receiver::start().await;
            let (path, secret) = webhook(world, &receiver, json!({})).await;
            register(world, EIDS[0], &[]).await;
            assert_eq!(receiver.all().len(), 0);
            let worker = world.worker(|_| {}).await;
            world.until("the worker delivers", async || receiver.taken().len() == 1).await;
            let one = &receiver.taken()[0];
            assert_eq!(one.signed_with(&secret), 1);
            assert_eq!(
                one.event()["source"],
                format!("/eims/{}", world.eim_id().await),
                "the front's, not the worker's"
            );
            world.until("that is known", async || world.get(&path).await["delivered"] == 1).await;
            worker.stop().await;
        },
    );
}

#[test]
fn a_request_to_make_a_webhook_is_judged_and_safe_to_repeat() {
    each_store(async |world: &mut World| {
        let url = "http://127.0.0.1:9/hook";
        for (body, pointers) in [
            (json!({}), vec!["/url"]),
            (json!({ "url": 5 }), vec!["/url"]),
            (json!({ "url": "" }), vec!["/url"]),
            (json!({ "url": "hooks.example" }), vec!["/url"]),
            (json!({ "url": "ftp://127.0.0.1/" }), vec!["/url"]),
            (json!({ "url": "https://user:secret@127.0.0.1/" }), vec!["/url"]),
            (json!({ "url": "https://127.0.0.1/#fragment" }), vec!["/url"]),
            (json!({ "url": format!("https://127.0.0.1/{}", "x".repeat(2_048)) }), vec!["/url"]),
            (json!({ "url": url, "types": "eim.registered" }), vec!["/types"]),
            (json!({ "url": url, "types": ["eim.registered", "registered", 5] }), vec!["/types/1", "/types/2"]),
            (json!({ "url": url, "types": vec!["*"; 65] }), vec!["/types"]),
            (json!({ "url": url, "filter": [] }), vec!["/filter"]),
            (json!({ "url": url, "filter": { "eid": "1" } }), vec!["/filter/eid"]),
            (json!({ "url": url, "filter": { "tags": ["a", ""] } }), vec!["/filter/tags/1"]),
            (json!({ "url": url, "filter": { "plmn": "26201" } }), vec!["/filter/plmn"]),
            (json!({ "url": url, "enabled": "yes" }), vec!["/enabled"]),
            (json!({ "url": url, "description": "x".repeat(513) }), vec!["/description"]),
            (json!({ "url": url, "secret": "whsec_AAAA" }), vec!["/secret"]),
        ] {
            let reply = admin(world, "POST", "/api/v1/webhooks", body.clone()).await;
            assert_eq!(reply.pointers(422), pointers, "{body}");
            let text = reply.text();
            assert!(!text.contains("user:secret"), "{text}");
        }
        let reply = admin(world, "POST", "/api/v1/webhooks", json!({})).await;
        assert!(reply.text().contains("this member is needed"), "{}", reply.text());
        assert_eq!(world.get("/api/v1/webhooks").await["items"], json!([]), "nothing half done");
        let body = json!({ "url": url, "enabled": false });
        assert_eq!(world.post("/api/v1/webhooks", body.clone()).await.status, 403);
        let key = [("idempotency-key", "one")];
        let make =
            async |body: &Value| world.send(Role::Admin, "POST", "/api/v1/webhooks", &key, body.to_string()).await;
        let first = make(&body).await;
        assert_eq!(first.status, 201);
        assert_eq!(make(&body).await.json(), first.json(), "the same answer, with the secret");
        let problem = make(&json!({ "url": url })).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:idempotency-key-taken");
        let list = world.get("/api/v1/webhooks").await["items"].as_array().unwrap().clone();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0]["secret"], Value::Null);
        // Changes are judged as well, and change nothing when they can't be taken.
        let path = format!("/api/v1/webhooks/{}", list[0]["id"].as_str().unwrap());
        let patch = async |body: Value| admin(world, "PATCH", &path, body).await;
        assert_eq!(patch(json!({ "url": "nowhere", "enabled": true })).await.pointers(422), ["/url"]);
        assert_eq!(world.get(&path).await, list[0]);
        let filter = json!({ "eid": EIDS[0], "tags": ["a", "b"] });
        assert_eq!(patch(json!({ "filter": filter, "types": ["eim.registered"] })).await.json()["filter"], filter);
        let cleared = patch(json!({ "filter": { "eid": null }, "types": null, "description": "mine" })).await.json();
        assert_eq!((&cleared["filter"]["eid"], &cleared["types"]), (&Value::Null, &json!([])));
        assert_eq!((&cleared["filter"]["tags"], &cleared["url"]), (&json!(["a", "b"]), &json!(url)));
        for path in ["/api/v1/webhooks/x", "/api/v1/webhooks/01890000-0000-7000-8000-000000000000"] {
            assert_eq!(admin(world, "GET", path, Value::Null).await.status, 404);
        }
        // There is an end to how many there may be.
        for _ in 1..100 {
            assert_eq!(admin(world, "POST", "/api/v1/webhooks", body.clone()).await.status, 201);
        }
        let problem = admin(world, "POST", "/api/v1/webhooks", body).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:too-many-webhooks");
    });
}

#[test]
fn a_private_address_is_refused_unless_the_configuration_allows_it() {
    let modes = [Mode::EMBEDDED, Mode { backend: Backend::Postgres, broker: false }];
    run_with(
        &modes,
        &[Binding::Asn1],
        |config| config.outbound.allow_private = false,
        async |world: &mut World| {
            for (url, reason) in [
                ("https://127.0.0.1/", "private"),
                ("https://10.0.0.1/", "private"),
                ("https://[::1]/", "private"),
                ("https://169.254.169.254/latest/meta-data/", "private"),
                ("https://2130706433/", "private"),
                ("https://localhost/", "private"),
                ("http://1.1.1.1/", "https"),
                ("https://1.1.1.1:8443/", "443"),
            ] {
                let reply = admin(world, "POST", "/api/v1/webhooks", json!({ "url": url })).await;
                assert_eq!(reply.pointers(422), ["/url"], "{url}");
                assert!(reply.json()["detail"].as_str().unwrap().contains(reason), "{url}: {}", reply.text());
            }
            let reply =
                admin(world, "POST", "/api/v1/webhooks", json!({ "url": "https://1.1.1.1/", "enabled": false })).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
        },
    );
}
