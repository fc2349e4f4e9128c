//! Tests of reading a campaign.

use super::*;

fn asked(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = json!({
        "name": "winter", "description": "to the other operator", "priority": 70,
        "target": { "filter": { "tags": ["meter"] }, "mode": "CONTINUOUS", "exclude": ["89049032000000000000000000000001"], "maxDevices": 9 },
        "plan": { "switch": { "to": { "defaultSmdp": true } } },
        "waves": [
            { "name": "canary", "percent": 5, "startAt": "2027-01-02T00:00:00Z", "soakSeconds": 3600, "successThreshold": 99,
              "successAction": "PAUSE", "errorThreshold": { "percent": 10, "minExecuted": 20, "outcomes": ["noShow", "rolledBack"] },
              "errorAction": "ABORT_AND_REVERT" },
            { "count": 100, "errorThreshold": { "count": 3 } },
            { "filter": { "state": "active" } },
            { "rest": true },
        ],
        "rate": { "exponential": { "basePerMinute": 5, "factor": 1.5, "everySucceeded": 10, "maxPerMinute": 500 } },
        "perSmdpMaxConcurrent": 20,
        "maintenanceWindows": [{ "cron": "0  2 * * mon-fri", "durationMinutes": 120, "zone": "Europe/Berlin" }],
        "retry": [{ "outcomes": ["noShow"], "maxRetries": 3, "backoffSeconds": 600, "factor": 2 },
                  { "outcomes": ["downloadFailed"], "maxRetries": 1, "backoffSeconds": 0 }],
        "approval": "none", "startAt": "2027-01-01T01:00:00+01:00", "endAt": "2027-02-01T00:00:00Z", "endBehavior": "CANCEL",
    });
    change(&mut value);
    value
}

#[test]
fn reads_all_of_it_and_writes_it_normalised() {
    let spec = campaign(&asked(|_| {}), "").unwrap();
    assert_eq!(spec.waves.len(), 4);
    assert_eq!(spec.waves[0].error_threshold.as_ref().unwrap().outcomes, [Outcome::RolledBack, Outcome::NoShow]);
    let written = spec.to_value();
    assert_eq!(campaign(&written, "").unwrap(), spec, "what was written reads the same");
    assert_eq!(written["startAt"], "2027-01-01T00:00:00.000Z");
    assert_eq!(written["maintenanceWindows"][0]["cron"], "0 2 * * mon-fri");
    assert_eq!(written["waves"][1]["successThreshold"], 95);
    assert_eq!(written["waves"][3]["successThreshold"], 0);
    assert_eq!(written["plan"]["switch"]["to"]["defaultSmdp"], true);
}

#[test]
fn what_is_not_said_has_a_default() {
    let value = json!({ "name": "n", "target": { "filter": { "all": true } }, "plan": { "operations": [] } });
    let spec = campaign(&value, "").unwrap();
    assert_eq!(
        spec.to_value(),
        json!({
            "name": "n", "priority": 50, "target": { "filter": { "all": true }, "mode": "SNAPSHOT" },
            "plan": { "operations": [] }, "approval": "required", "endBehavior": "STOP",
            "rate": { "maxPerMinute": 6000 },
            "waves": [{ "rest": true, "soakSeconds": 0, "successThreshold": 0, "successAction": "NEXT" }],
        })
    );
    assert!(!spec.is_switch());
    let empty = asked(|value| {
        value["target"]["exclude"] = json!([]);
        value["retry"] = json!([]);
        value["maintenanceWindows"] = json!([]);
    });
    assert!(campaign(&empty, "").unwrap().maintenance_windows.is_empty());
}

#[test]
fn every_bad_value_is_refused_with_its_place() {
    type Change = (&'static str, Value, &'static str);
    let window =
        |cron: &str, minutes: i64, zone: &str| json!([{ "cron": cron, "durationMinutes": minutes, "zone": zone }]);
    let changes: Vec<Change> = vec![
        ("/name", json!(null), "/name"),
        ("/name", json!(""), "/name"),
        ("/name", json!("x".repeat(129)), "/name"),
        ("/name", json!("a\0b"), "/name"),
        ("/description", json!("x".repeat(2001)), "/description"),
        ("/priority", json!(101), "/priority"),
        ("/colour", json!(1), "/colour"),
        ("/target", json!(null), "/target"),
        ("/target/filter", json!({}), "/target/filter"),
        ("/target/filter", json!(null), "/target/filter"),
        ("/target/filter/tags", json!([7]), "/target/filter/tags"),
        ("/target/mode", json!("snapshot"), "/target/mode"),
        ("/target/exclude", json!(["1"]), "/target/exclude"),
        ("/target/exclude", json!(vec!["89049032000000000000000000000001"; 10_001]), "/target/exclude"),
        ("/target/maxDevices", json!(0), "/target/maxDevices"),
        ("/plan", json!({}), "/plan/switch"),
        ("/plan", json!({ "switch": {}, "operations": [] }), "/plan/switch"),
        ("/plan", json!({ "switch": [] }), "/plan/switch"),
        ("/plan", json!({ "operations": {} }), "/plan/operations"),
        ("/plan", json!({ "operations": [] }), "/waves/0/errorAction"),
        ("/waves", json!([]), "/waves"),
        ("/waves", json!({}), "/waves"),
        ("/waves", json!(vec![json!({ "count": 1 }); 65]), "/waves"),
        ("/waves", json!([{ "percent": 60 }, { "percent": 41 }]), "/waves/1/percent"),
        ("/waves", json!([{ "rest": true }, { "rest": true }]), "/waves/0/rest"),
        ("/waves", json!([{}]), "/waves/0"),
        ("/waves", json!([{ "rest": false }]), "/waves/0/rest"),
        ("/waves", json!([{ "percent": 1, "count": 1 }]), "/waves/0"),
        ("/waves", json!([7]), "/waves/0"),
        ("/waves/0/percent", json!(0), "/waves/0/percent"),
        ("/waves/0/percent", json!(101), "/waves/0/percent"),
        ("/waves/1/count", json!(0), "/waves/1/count"),
        ("/waves/2/filter", json!({ "tags": [] }), "/waves/2/filter/tags"),
        ("/waves/0/soakSeconds", json!(-1), "/waves/0/soakSeconds"),
        ("/waves/0/successThreshold", json!(101), "/waves/0/successThreshold"),
        ("/waves/0/successAction", json!("STOP"), "/waves/0/successAction"),
        ("/waves/0/errorThreshold/percent", json!(101), "/waves/0/errorThreshold/percent"),
        ("/waves/0/errorThreshold/count", json!(1), "/waves/0/errorThreshold/percent"),
        ("/waves/0/errorThreshold/minExecuted", json!(0), "/waves/0/errorThreshold/minExecuted"),
        ("/waves/0/errorThreshold/outcomes", json!(["exploded"]), "/waves/0/errorThreshold/outcomes"),
        ("/waves/0/errorThreshold/outcomes", json!(["proven"]), "/waves/0/errorThreshold/outcomes"),
        ("/waves/0/errorThreshold", json!(null), "/waves/0/errorAction"),
        ("/waves/0/errorAction", json!("RUN"), "/waves/0/errorAction"),
        ("/waves/0/startAt", json!("tomorrow"), "/waves/0/startAt"),
        ("/waves/0/startAt", json!("2027-02-01T00:00:00Z"), "/waves/0/startAt"),
        ("/rate", json!({}), "/rate/maxPerMinute"),
        ("/rate", json!({ "maxPerMinute": 0 }), "/rate/maxPerMinute"),
        ("/rate/exponential/factor", json!(1.0), "/rate/exponential/factor"),
        ("/rate/exponential/factor", json!("2"), "/rate/exponential/factor"),
        ("/rate/exponential/everySucceeded", json!(null), "/rate/exponential/everySucceeded"),
        ("/rate/exponential/maxPerMinute", json!(4), "/rate/exponential/maxPerMinute"),
        ("/perSmdpMaxConcurrent", json!(0), "/perSmdpMaxConcurrent"),
        ("/rate", json!({ "perSmdpMaxConcurrent": 0 }), "/rate/perSmdpMaxConcurrent"),
        ("/rate", json!({ "maxPerMinute": 5, "perSmdpMaxConcurrent": 5 }), "/rate/perSmdpMaxConcurrent"),
        ("/maintenanceWindows", window("0 2 * *", 60, "UTC"), "/maintenanceWindows/0/cron"),
        ("/maintenanceWindows", window("0 2 31 4 *", 60, "UTC"), "/maintenanceWindows/0/cron"),
        ("/maintenanceWindows", window("0 2 * * *", 0, "UTC"), "/maintenanceWindows/0/durationMinutes"),
        ("/maintenanceWindows", window("0 2 * * *", 60, "Mars/Olympus"), "/maintenanceWindows/0/zone"),
        ("/maintenanceWindows", json!([{ "cron": "0 2 * * *", "durationMinutes": 6 }]), "/maintenanceWindows/0/zone"),
        ("/maintenanceWindows", json!(vec![json!({}); 17]), "/maintenanceWindows"),
        ("/retry/0/outcomes", json!(["cancelled"]), "/retry/0/outcomes"),
        ("/retry/0/outcomes", json!([]), "/retry/0/outcomes"),
        ("/retry/1/outcomes", json!(["noShow"]), "/retry/1/outcomes"),
        ("/retry/0/maxRetries", json!(101), "/retry/0/maxRetries"),
        ("/retry/0/backoffSeconds", json!(2_592_001), "/retry/0/backoffSeconds"),
        ("/retry/0/factor", json!(0.5), "/retry/0/factor"),
        ("/approval", json!("later"), "/approval"),
        ("/startAt", json!("1969-12-31T23:59:59Z"), "/startAt"),
        ("/endAt", json!("2027-01-01T00:00:00Z"), "/endAt"),
        ("/endBehavior", json!("FORCE"), "/endBehavior"),
    ];
    for (place, value, pointer) in changes {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let body = asked(|body| {
            let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.insert(name.to_owned(), value.clone());
        });
        let errors = campaign(&body, "/here").unwrap_err();
        let found: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert!(found.contains(&format!("/here{pointer}").as_str()), "{place} {value}: {errors:?}");
    }
    assert_eq!(campaign(&json!("x"), "").unwrap_err().len(), 1);
}

#[test]
fn the_time_until_another_attempt_grows_and_is_bounded() {
    let spec = campaign(&asked(|value| value["retry"][0]["factor"] = json!(10)), "").unwrap();
    let rule = spec.retry_rule(Outcome::NoShow).unwrap();
    let delays: Vec<Option<i64>> = (1..=4).map(|attempts| rule.delay_ms(attempts)).collect();
    assert_eq!(delays, [Some(600_000), Some(6_000_000), Some(60_000_000), None]);
    let long = RetryRule { max_retries: 100, ..rule.clone() };
    assert_eq!(long.delay_ms(90), Some(2_592_000_000));
    assert!(spec.retry_rule(Outcome::Refused).is_none());
}
