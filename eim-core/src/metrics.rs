//! All metrics of the library, registered in one place. No label holds an EID.

use crate::Eim;
use crate::domain::{Changes, Event, Kind, ReceivedStatus};
use crate::store::StoreError;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use serde_json::Value;

/// The metrics.
#[derive(Clone)]
pub struct Metrics {
    /// `eim_polls_total{outcome}`: package, data, none or the name of an error.
    pub polls_total: IntCounterVec,
    /// `eim_packages_total{kind,outcome}`: delivered, redelivered, or the state in which an operation ended; with
    /// `Unverified` behind it where the result was taken under the lab policy.
    pub packages_total: IntCounterVec,
    /// `eim_verification_failures_total{reason}`.
    pub verification_failures_total: IntCounterVec,
    /// `eim_notifications_total{outcome}`: verified, held, refused or unattributed.
    pub notifications_total: IntCounterVec,
    /// Notifications that were sent to their servers, by outcome.
    pub notifications_forwarded_total: IntCounterVec,
    /// eUICCs that trust a signing key of ours that is not loaded.
    pub euiccs_without_key: IntGauge,
    /// Signing keys that are loaded and could not be used when that was last tried.
    pub signing_keys_away: IntGauge,
    /// For how long the audit log can't be linked, or the first record without a place waits, seconds; 0 when none does.
    pub audit_unlinked_seconds: IntGauge,
    /// Notifications that their servers have not acknowledged yet.
    pub notifications_pending: IntGauge,
    /// Time of calls to SM-DP+ and SM-DS.
    pub es9_request_seconds: HistogramVec,
    /// `eim_queue_depth{kind}`: operations that are queued.
    pub queue_depth: IntGaugeVec,
    /// `eim_queue_oldest_seconds{kind}`: how long the oldest of them waits.
    pub queue_oldest_seconds: GaugeVec,
    /// `eim_esipa_request_seconds{function,binding}`.
    pub esipa_request_seconds: HistogramVec,
    /// `eim_esipa_rejected_total{binding,reason}`: requests that are no ESipa message.
    pub esipa_rejected_total: IntCounterVec,
    /// `eim_connections_ended_total{listener,reason}`: connections that were not taken, or ended because they were too slow.
    pub connections_ended_total: IntCounterVec,
    /// `eim_requests_refused_total{listener,reason}`: requests beyond a limit.
    pub requests_refused_total: IntCounterVec,
    /// `eim_requests_paced_total{listener}`: requests that waited for the pace of their connection.
    pub requests_paced_total: IntCounterVec,
    /// `eim_jobs_total{job,outcome}`.
    pub jobs_total: IntCounterVec,
    /// `eim_webhook_deliveries_total{outcome}`: delivered, failed, busy or dead.
    pub webhook_deliveries_total: IntCounterVec,
    /// `eim_drift_total{outcome}`: devices found otherwise than desired, corrected, or given up.
    pub drift_total: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry has one of them already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let queue_depth = IntGaugeVec::new(Opts::new("eim_queue_depth", "Operations that are queued"), &["kind"])?;
        let queue_oldest_seconds = GaugeVec::new(
            Opts::new("eim_queue_oldest_seconds", "How long the oldest queued operation waits"),
            &["kind"],
        )?;
        let esipa_request_seconds = HistogramVec::new(
            HistogramOpts::new("eim_esipa_request_seconds", "Time to answer an ESipa request").buckets(vec![
                0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
            ]),
            &["function", "binding"],
        )?;
        let es9_request_seconds = HistogramVec::new(
            HistogramOpts::new("eim_es9_request_seconds", "Time of calls to SM-DP+ and SM-DS")
                .buckets(vec![0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            &["function", "outcome"],
        )?;
        let notifications_pending =
            IntGauge::new("eim_notifications_pending", "Notifications that their servers have not acknowledged yet")?;
        let euiccs_without_key =
            IntGauge::new("eim_euiccs_without_key", "eUICCs that trust a signing key of ours that is not loaded")?;
        let signing_keys_away = IntGauge::new(
            "eim_signing_keys_away",
            "Signing keys that are loaded and could not be used when last tried",
        )?;
        let audit_unlinked_seconds = IntGauge::new(
            "eim_audit_unlinked_seconds",
            "For how long the audit log can't be linked, or its first record without a place waits",
        )?;
        registry.register(Box::new(euiccs_without_key.clone()))?;
        registry.register(Box::new(signing_keys_away.clone()))?;
        registry.register(Box::new(audit_unlinked_seconds.clone()))?;
        registry.register(Box::new(es9_request_seconds.clone()))?;
        registry.register(Box::new(notifications_pending.clone()))?;
        registry.register(Box::new(queue_depth.clone()))?;
        registry.register(Box::new(queue_oldest_seconds.clone()))?;
        registry.register(Box::new(esipa_request_seconds.clone()))?;
        Ok(Self {
            polls_total: counter("eim_polls_total", "Polls by outcome", &["outcome"])?,
            packages_total: counter("eim_packages_total", "Packages by kind and outcome", &["kind", "outcome"])?,
            verification_failures_total: counter(
                "eim_verification_failures_total",
                "Signed objects that were not believed, by reason",
                &["reason"],
            )?,
            notifications_total: counter(
                "eim_notifications_total",
                "Notifications received, by outcome",
                &["outcome"],
            )?,
            notifications_forwarded_total: counter(
                "eim_notifications_forwarded_total",
                "Notifications sent to SM-DP+ and SM-DS, by outcome",
                &["outcome"],
            )?,
            notifications_pending,
            euiccs_without_key,
            signing_keys_away,
            audit_unlinked_seconds,
            es9_request_seconds,
            queue_depth,
            queue_oldest_seconds,
            esipa_request_seconds,
            esipa_rejected_total: counter(
                "eim_esipa_rejected_total",
                "Requests that are no ESipa message",
                &["binding", "reason"],
            )?,
            connections_ended_total: counter(
                "eim_connections_ended_total",
                "Connections that were not taken, or were too slow",
                &["listener", "reason"],
            )?,
            requests_refused_total: counter(
                "eim_requests_refused_total",
                "Requests beyond a limit",
                &["listener", "reason"],
            )?,
            requests_paced_total: counter(
                "eim_requests_paced_total",
                "Requests that waited for the pace of their connection",
                &["listener"],
            )?,
            jobs_total: counter("eim_jobs_total", "Background jobs by outcome", &["job", "outcome"])?,
            webhook_deliveries_total: counter(
                "eim_webhook_deliveries_total",
                "Events sent to webhooks, by outcome",
                &["outcome"],
            )?,
            drift_total: counter(
                "eim_drift_total",
                "Devices found otherwise than desired, corrected, or given up",
                &["outcome"],
            )?,
        })
    }

    /// Counts the outcomes in what was just saved.
    pub(crate) fn count_changes(&self, changes: &Changes) {
        self.count_drift(&changes.events);
        for event in &changes.events {
            if event.event_type == "certificatesRefused" {
                let reason = event.details.get("reason").and_then(Value::as_str).unwrap_or("unknown");
                self.verification_failures_total.with_label_values(&[reason]).inc();
            }
            if event.event_type == "notificationReceived" {
                let status = event.details.get("status").and_then(Value::as_str).unwrap_or("unknown");
                self.notifications_total.with_label_values(&[status]).inc();
            }
            let outcome = match event.event_type {
                "packageDelivered" => "delivered",
                "operationSucceeded" => "succeeded",
                "operationFailed" => "failed",
                "operationUnconfirmed" => "unconfirmed",
                "operationRolledBack" => "rolledBack",
                "operationCancelled" | "operationAbandoned" => "cancelled",
                _ => continue,
            };
            let Some(kind) = event.details.get("kind").and_then(Value::as_str).and_then(Kind::from_word) else {
                continue;
            };
            // Data are never signed; of a signed package only the lab policy takes what is not verified.
            let signed = kind.is_euicc_package() || kind == Kind::ProfileDownload;
            let lab = signed && event.details.get("verified") == Some(&Value::Bool(false));
            let outcome = if lab { format!("{outcome}Unverified") } else { outcome.to_owned() };
            self.packages_total.with_label_values(&[kind.as_str(), &outcome]).inc();
        }
        for received in changes.received.iter().filter(|received| received.status == ReceivedStatus::Refused) {
            let reason = received.reason.as_deref().unwrap_or("unknown");
            self.verification_failures_total.with_label_values(&[reason]).inc();
        }
    }

    /// Counts what was found and what became of it.
    pub(crate) fn count_drift(&self, events: &[Event]) {
        for event in events {
            let outcome = match event.event_type {
                "driftFound" => "found",
                "driftCorrected" => "corrected",
                "driftGivenUp" => "givenUp",
                _ => continue,
            };
            self.drift_total.with_label_values(&[outcome]).inc();
        }
    }

    /// Counts one package of a kind.
    pub(crate) fn count_package(&self, kind: &str, outcome: &str) {
        self.packages_total.with_label_values(&[kind, outcome]).inc();
    }
}

/// Reads queue depth and age from the store, before a scrape.
///
/// # Errors
/// When the store fails.
pub async fn refresh_queue_gauges(eim: &Eim) -> Result<(), StoreError> {
    eim.metrics().notifications_pending.set(eim.store().pending_notifications().await?);
    let depths = eim.store().queue_depths().await?;
    let now = eim.clock().now_ms();
    for kind in Kind::ALL {
        let found = depths.iter().find(|depth| depth.kind == kind.as_str());
        let metrics = eim.metrics();
        metrics.queue_depth.with_label_values(&[kind.as_str()]).set(found.map_or(0, |found| found.depth));
        let waited_ms = found.and_then(|found| found.oldest_at).map_or(0, |oldest| (now - oldest).max(0));
        metrics.queue_oldest_seconds.with_label_values(&[kind.as_str()]).set(waited_ms as f64 / 1000.0);
    }
    Ok(())
}
