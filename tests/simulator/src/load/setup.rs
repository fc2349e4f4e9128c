//! What has to be there before a run: devices that are registered and associated, operations that are pending.

use super::{Api, LoadError, association_of};
use crate::fleet::{Fleet, fleet_iccid};
use std::net::{SocketAddr, ToSocketAddrs};

/// Devices of a run have indices below this; those that only carry pending operations lie above it.
const PENDING_FROM: u32 = 1_000_000_000;

/// The address of `host:port`; only loopback unless `allow_remote`.
///
/// # Errors
/// [`LoadError::Remote`], or [`LoadError::Connection`] when the name is unknown.
pub fn check_target(host: &str, allow_remote: bool) -> Result<SocketAddr, LoadError> {
    let failed = |cause| LoadError::Connection { target: host.to_owned(), cause };
    let addresses: Vec<SocketAddr> = host.to_socket_addrs().map_err(failed)?.collect();
    if !allow_remote && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(LoadError::Remote { target: host.to_owned() });
    }
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    ipv4.or(addresses.first()).copied().ok_or_else(|| failed(std::io::Error::other("no address")))
}

/// Gives every eUICC the eIM's configuration and registers it with what came of that.
///
/// # Errors
/// [`LoadError`] when the API or an eUICC refuses.
pub async fn prepare_devices(fleet: &mut Fleet, api: &mut Api) -> Result<(), LoadError> {
    let request = api.add_initial_eim_request().await?;
    fleet.associate(&request)?;
    let registrations = fleet.registrations();
    for (device, registration) in fleet.devices().iter().zip(&registrations) {
        let association = association_of(&device.euicc);
        api.register(registration, association).await?;
    }
    Ok(())
}

/// Creates so many operations on eUICCs that nobody polls, `per_device` on each, over `connections` connections.
///
/// # Errors
/// [`LoadError`] when the API refuses.
pub async fn seed_operations(
    fleet: &Fleet,
    api: &Api,
    operations: u32,
    per_device: u32,
    connections: u32,
) -> Result<(), LoadError> {
    let (per_device, connections) = (per_device.max(1), connections.max(1));
    let mut tasks = Vec::new();
    for worker in 0..connections {
        let (mut api, pki) = (api.another().await?, fleet.pki().clone());
        tasks.push(tokio::spawn(async move {
            let devices = operations.div_ceil(per_device);
            for device in (worker..devices).step_by(connections as usize) {
                let eid = pki.eid(PENDING_FROM + device);
                api.register_eid(&eid).await?;
                let iccid = fleet_iccid(device, 2).map_err(|error| LoadError::Setup { what: error.to_string() })?;
                let body = serde_json::json!({"psmo": [{"enable": {"iccid": iccid.to_string()}}]});
                for _ in 0..per_device.min(operations - device * per_device) {
                    api.create_operation(&eid, &body).await?;
                }
            }
            Ok::<(), LoadError>(())
        }));
    }
    for task in tasks {
        task.await.map_err(|error| LoadError::Setup { what: error.to_string() })??;
    }
    Ok(())
}
