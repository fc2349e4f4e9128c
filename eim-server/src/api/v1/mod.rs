//! Version 1 of the API: one folder for each noun, one file for each verb.

pub(super) mod api_keys;
pub(super) mod audit;
pub(super) mod campaigns;
pub(super) mod decisions;
pub(super) mod desired_states;
pub(super) mod eim;
pub(super) mod euiccs;
pub(super) mod events;
pub(super) mod exports;
pub(super) mod grants;
pub(super) mod handovers;
pub(super) mod imports;
pub(super) mod key_rotations;
pub(super) mod notifications;
pub(super) mod operations;
pub(super) mod owner_policies;
pub(super) mod pools;
pub(super) mod profile_owners;
pub(super) mod rules;
pub(super) mod signing_keys;
pub(super) mod summary;
pub(super) mod switches;
pub(super) mod tenants;
pub(super) mod webhook_deliveries;
pub(super) mod webhooks;
