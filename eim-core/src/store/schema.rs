//! The tables, shared by both backends.

diesel::table! {
    euiccs (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        eid -> Text,
        version -> BigInt,
        label -> Nullable<Text>,
        tags -> Text,
        result_policy -> Text,
        state -> Text,
        counter_value -> BigInt,
        association_token -> Nullable<BigInt>,
        eum_certificate -> Nullable<Binary>,
        euicc_certificate -> Nullable<Binary>,
        capabilities -> Nullable<Text>,
        last_seen_at -> Nullable<BigInt>,
        poll_interval_ms -> Nullable<BigInt>,
        r_plmn -> Nullable<Binary>,
        state_change_cause -> Nullable<BigInt>,
        profiles_stale -> Bool,
        profiles_listed_at -> Nullable<BigInt>,
        profiles_verified -> Bool,
        data_refreshed_at -> Nullable<BigInt>,
        certificates_asked_at -> Nullable<BigInt>,
        warnings -> Text,
        created_at -> BigInt,
        rules_authorisation_table -> Nullable<Text>,
        open_switch -> Nullable<Text>,
        eim_id -> Nullable<Text>,
        signing_key -> Nullable<Text>,
        key_facts -> Nullable<Text>,
        own_association -> Nullable<Text>,
        list_facts -> Nullable<Text>,
    }
}

diesel::table! {
    euicc_tags (tenant_id, tag, eid) {
        tenant_id -> BigInt,
        tag -> Text,
        eid -> Text,
    }
}

diesel::table! {
    operations (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        eid -> Text,
        kind -> Text,
        origin -> Text,
        purpose -> Nullable<Text>,
        subject_id -> Nullable<Text>,
        request -> Text,
        state -> Text,
        label -> Nullable<Text>,
        not_before -> Nullable<BigInt>,
        valid_until -> Nullable<BigInt>,
        created_at -> BigInt,
        delivered_at -> Nullable<BigInt>,
        completed_at -> Nullable<BigInt>,
        attempts -> BigInt,
        retries -> BigInt,
        again_after -> Nullable<BigInt>,
        counter_value -> Nullable<BigInt>,
        eim_transaction_id -> Nullable<Text>,
        association_token -> Nullable<BigInt>,
        package -> Nullable<Binary>,
        verified -> Nullable<Bool>,
        results -> Text,
        error -> Nullable<Text>,
        refusals -> Text,
        late_result -> Nullable<Text>,
        facts -> Text,
        results_asked -> Bool,
        replayed -> Bool,
        secret -> Nullable<Binary>,
    }
}

diesel::table! {
    profiles (tenant_id, eid, iccid) {
        tenant_id -> BigInt,
        eid -> Text,
        iccid -> Binary,
        enabled -> Nullable<Bool>,
        profile_class -> Nullable<BigInt>,
        name -> Nullable<Text>,
        service_provider -> Nullable<Text>,
        fallback -> Bool,
        aid -> Nullable<Binary>,
        verified -> Bool,
        updated_at -> BigInt,
        ppr1 -> Nullable<Bool>,
        ppr2 -> Nullable<Bool>,
        owner_mcc_mnc -> Nullable<Text>,
        fallback_told -> Bool,
    }
}

diesel::table! {
    received (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        eid -> Text,
        kind -> Text,
        seq_number -> Nullable<BigInt>,
        digest -> Binary,
        identity -> Binary,
        raw -> Binary,
        status -> Text,
        reason -> Nullable<Text>,
        operation_id -> Nullable<Text>,
        at -> BigInt,
    }
}

diesel::table! {
    events (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        eid -> Text,
        at -> BigInt,
        event_type -> Text,
        details -> Text,
        subject -> Text,
        xid -> BigInt,
    }
}

diesel::table! {
    download_sessions (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        eid -> Text,
        operation_id -> Text,
        transaction_id -> Text,
        address -> Text,
        phase -> Text,
        facts -> Text,
        created_at -> BigInt,
        touched_at -> BigInt,
    }
}

diesel::table! {
    notifications (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        eid -> Text,
        identity -> Binary,
        seq_number -> BigInt,
        event -> Text,
        iccid -> Nullable<Binary>,
        address -> Text,
        octets -> Binary,
        state -> Text,
        attempts -> BigInt,
        next_attempt_at -> BigInt,
        last_error -> Nullable<Text>,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    jobs (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        kind -> Text,
        key -> Text,
        version -> BigInt,
        attempts -> BigInt,
        run_at -> BigInt,
        handed_until -> BigInt,
        lease_until -> Nullable<BigInt>,
        lease_owner -> Nullable<Text>,
        last_error -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    api_keys (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        role -> Text,
        key_digest -> Binary,
        created_at -> BigInt,
        scopes -> Text,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        previous_digest -> Nullable<Binary>,
        previous_until -> Nullable<BigInt>,
    }
}

diesel::table! {
    idempotency (tenant_id, key) {
        tenant_id -> BigInt,
        key -> Text,
        fingerprint -> Binary,
        resource -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    switches (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        eid -> Text,
        campaign_id -> Nullable<Text>,
        label -> Nullable<Text>,
        plan -> Text,
        state -> Text,
        outcome -> Nullable<Text>,
        facts -> Text,
        deadline -> Nullable<BigInt>,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    owner_policies (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        policy -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    campaigns (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        priority -> BigInt,
        state -> Text,
        version -> BigInt,
        spec -> Text,
        facts -> Text,
        look_at -> Nullable<BigInt>,
        secret -> Nullable<Binary>,
        created_at -> BigInt,
    }
}

diesel::table! {
    campaign_devices (campaign_id, eid) {
        campaign_id -> Text,
        eid -> Text,
        tenant_id -> BigInt,
        priority -> BigInt,
        position -> BigInt,
        wave -> BigInt,
        state -> Text,
        outcome -> Nullable<Text>,
        attempts -> BigInt,
        not_before -> BigInt,
        switch_id -> Nullable<Text>,
        reason -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        revert -> Nullable<Text>,
        revert_switch_id -> Nullable<Text>,
        reason_detail -> Nullable<Text>,
        revert_reason -> Nullable<Text>,
    }
}

diesel::table! {
    pools (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        low_water -> BigInt,
        free -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    pool_codes (seq) {
        seq -> BigInt,
        id -> Text,
        pool_id -> Text,
        tenant_id -> BigInt,
        state -> Text,
        address -> Text,
        digest -> Binary,
        secret -> Binary,
        eid -> Nullable<Text>,
        switch_id -> Nullable<Text>,
        changed_at -> BigInt,
    }
}

diesel::table! {
    tenants (id) {
        id -> BigInt,
        name -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    profile_owners (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        claims -> Text,
        confirmed_at -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}

diesel::table! {
    grants (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        grantee_id -> BigInt,
        owner_id -> Text,
        profile_class -> Nullable<Text>,
        actions -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    decisions (seq) {
        seq -> BigInt,
        tenant_id -> BigInt,
        at -> BigInt,
        key_id -> Text,
        key_name -> Text,
        action -> Text,
        subject -> Text,
        authority -> Text,
        outcome -> Text,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    webhooks (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        source -> Text,
        url -> Text,
        types -> Text,
        eid -> Nullable<Text>,
        tags -> Text,
        description -> Nullable<Text>,
        enabled -> Bool,
        secret -> Binary,
        old_secret -> Nullable<Binary>,
        old_secret_until -> Nullable<BigInt>,
        cursor_xid -> BigInt,
        cursor_seq -> BigInt,
        attempts -> BigInt,
        failing_since -> Nullable<BigInt>,
        head_failed_at -> Nullable<BigInt>,
        next_attempt_at -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        last_success_at -> Nullable<BigInt>,
        delivered -> BigInt,
        replay_from -> Nullable<BigInt>,
        replay_to -> Nullable<BigInt>,
        replay_at -> Nullable<BigInt>,
        replay_seq -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}

diesel::table! {
    webhook_deliveries (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        webhook_id -> Text,
        event_id -> Text,
        event_type -> Text,
        body -> Text,
        state -> Text,
        attempts -> BigInt,
        status -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rules (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        name -> Text,
        enabled -> Bool,
        version -> BigInt,
        spec -> Text,
        secret -> Nullable<Binary>,
        created_by -> Text,
        since_xid -> BigInt,
        since_seq -> BigInt,
        since_at -> BigInt,
        stopped_at -> Nullable<BigInt>,
        look_at -> Nullable<BigInt>,
        scan_after -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    rule_readers (tenant_id) {
        tenant_id -> BigInt,
        cursor_xid -> BigInt,
        cursor_seq -> BigInt,
        revision -> BigInt,
    }
}

diesel::table! {
    rule_firings (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        rule_id -> Text,
        rule_version -> BigInt,
        eid -> Text,
        at -> BigInt,
        cause -> Text,
        event -> Text,
        chain -> Text,
        outcome -> Text,
        steps -> Text,
        step -> BigInt,
        repeats -> BigInt,
        next_attempt_at -> Nullable<BigInt>,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    desired_states (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        eid -> Nullable<Text>,
        version -> BigInt,
        spec -> Text,
        obtain -> Nullable<Text>,
        secret -> Nullable<Binary>,
        sweep_at -> Nullable<BigInt>,
        swept_to -> BigInt,
        bad_outcomes -> BigInt,
        created_at -> BigInt,
        changed_at -> BigInt,
    }
}

diesel::table! {
    desired_devices (tenant_id, eid) {
        tenant_id -> BigInt,
        eid -> Text,
        version -> BigInt,
        state_id -> Nullable<Text>,
        drift -> Text,
        correcting -> Text,
        look_at -> Nullable<BigInt>,
        facts -> Text,
    }
}

diesel::table! {
    signing_keys (seq) {
        seq -> BigInt,
        key_id -> Text,
        eim_id -> Text,
        public_key -> Binary,
        first_seen_at -> BigInt,
        withheld_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    key_rotations (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        to_key -> Text,
        state -> Text,
        version -> BigInt,
        spec -> Text,
        swept_to -> BigInt,
        scanned -> Bool,
        look_at -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    key_rotation_devices (seq) {
        seq -> BigInt,
        rotation_id -> Text,
        eid -> Text,
        tenant_id -> BigInt,
        state -> Text,
        attempts -> BigInt,
        operation_id -> Nullable<Text>,
        reason -> Nullable<Text>,
        not_before -> BigInt,
        begun_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_records (seq) {
        seq -> BigInt,
        xid -> BigInt,
        tenant_id -> BigInt,
        at -> BigInt,
        record_type -> Text,
        eid -> Text,
        body -> Text,
    }
}

diesel::table! {
    audit_links (tenant_id, position) {
        tenant_id -> BigInt,
        position -> BigInt,
        record_seq -> BigInt,
        link -> Binary,
    }
}

diesel::table! {
    audit_chains (tenant_id) {
        tenant_id -> BigInt,
        position -> BigInt,
        link -> Binary,
        cursor_xid -> BigInt,
        cursor_seq -> BigInt,
    }
}

diesel::table! {
    audit_checkpoints (tenant_id, number) {
        tenant_id -> BigInt,
        number -> BigInt,
        position -> BigInt,
        at -> BigInt,
        statement -> Text,
        public_key -> Text,
        signature -> Text,
    }
}

diesel::table! {
    handovers (seq) {
        seq -> BigInt,
        id -> Text,
        tenant_id -> BigInt,
        eim_id -> Text,
        configuration -> Text,
        delete_own -> Bool,
        state -> Text,
        devices -> BigInt,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        rate_per_minute -> BigInt,
    }
}

diesel::table! {
    handover_devices (seq) {
        seq -> BigInt,
        handover_id -> Text,
        tenant_id -> BigInt,
        eid -> Text,
        state -> Text,
        operation_id -> Nullable<Text>,
        token -> Nullable<BigInt>,
        proof -> Nullable<Text>,
        reason -> Nullable<Text>,
        changed_at -> BigInt,
        begun_at -> Nullable<BigInt>,
        added_at -> Nullable<BigInt>,
        retry_to -> Nullable<Text>,
    }
}

diesel::table! {
    other_eims (tenant_id, eid, eim_id) {
        tenant_id -> BigInt,
        eid -> Text,
        eim_id -> Text,
        eim_id_type -> Nullable<BigInt>,
        eim_fqdn -> Nullable<Text>,
        supported_protocol -> Text,
        association_token -> Nullable<BigInt>,
        counter_value -> Nullable<BigInt>,
        key_sha256 -> Nullable<Binary>,
        learned_by -> Text,
        state -> Text,
        operation_id -> Nullable<Text>,
        learned_at -> BigInt,
        changed_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(euiccs, euicc_tags);
diesel::allow_tables_to_appear_in_same_query!(key_rotation_devices, operations);
diesel::allow_tables_to_appear_in_same_query!(key_rotation_devices, euiccs);
diesel::allow_tables_to_appear_in_same_query!(rules, rule_readers);
diesel::allow_tables_to_appear_in_same_query!(audit_links, audit_records);
diesel::allow_tables_to_appear_in_same_query!(audit_chains, tenants);
diesel::allow_tables_to_appear_in_same_query!(audit_links, audit_chains);
diesel::allow_tables_to_appear_in_same_query!(handover_devices, handovers, operations);
