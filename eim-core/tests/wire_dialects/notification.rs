//! Notifications and result messages: T10, T11, T13 to T15.

use eim_core::asn1::*;

use crate::*;

#[test]
fn t10_an_installation_result_without_its_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 3D 2C -- HandleNotification
            {INSTALLATION_RESULT}
            "
        ),
        &format!(
            "
        BF 3D 2E -- HandleNotification
            A0 2C -- pendingNotification
                {INSTALLATION_RESULT}
            "
        ),
    );
}

#[test]
fn t10_a_signed_notification_without_its_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 3D 36 -- HandleNotification
            {SIGNED_NOTIFICATION}
            "
        ),
        &format!(
            "
        BF 3D 38 -- HandleNotification
            A0 36 -- pendingNotification
                {SIGNED_NOTIFICATION}
            "
        ),
    );
}

#[test]
fn t10_a_compact_installation_result_without_its_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 3D 19 -- HandleNotification
            {COMPACT_INSTALLATION_RESULT}
            "
        ),
        &format!(
            "
        BF 3D 1B -- HandleNotification
            A0 19 -- pendingNotification
                {COMPACT_INSTALLATION_RESULT}
            "
        ),
    );
}

#[test]
fn t10_a_compact_notification_without_its_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 3D 28 -- HandleNotification
            {COMPACT_NOTIFICATION}
            "
        ),
        &format!(
            "
        BF 3D 2A -- HandleNotification
            A0 28 -- pendingNotification
                {COMPACT_NOTIFICATION}
            "
        ),
    );
}

#[test]
fn t11_the_package_result_arm_of_v1_0() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 3D 22 -- HandleNotification
            A1 20 -- provideEimPackageResult of v1.0
                {RESULT}
            "
        ),
        &format!(
            "
        BF 3D 23 -- HandleNotification
            BF 50 20 -- ProvideEimPackageResult
                {RESULT}
            "
        ),
    );
}

#[test]
fn t13_the_notification_list_of_v1_0() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 53 -- ProvideEimPackageResult
            30 51 -- ePRAndNotifications
                {RESULT}
                BF 2B 2E -- RetrieveNotificationsListResponse
                    A0 2C -- notificationList
                        {INSTALLATION_RESULT}
            "
        ),
        &format!(
            "
        BF 50 50 -- ProvideEimPackageResult
            30 4E -- ePRAndNotifications
                {RESULT}
                A0 2C -- notificationList
                    {INSTALLATION_RESULT}
            "
        ),
    );
}

#[test]
fn t14_the_error_arm_of_v1_0() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 03 -- ProvideEimPackageResult
            02 01 02 -- unknownPackage(2)
        ",
        "
        BF 50 05 -- ProvideEimPackageResult
            A0 03 -- eimPackageResultResponseError
                02 01 02 -- unknownPackage(2)
        ",
    );
}

#[test]
fn t15_a_primitive_80_holding_the_error() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 07 -- ProvideEimPackageResult
            80 05 30 03 02 01 7F -- primitive
        ",
        "
        BF 50 05 -- ProvideEimPackageResult
            A0 03 -- eimPackageResultResponseError
                02 01 7F -- undefinedError(127)
        ",
    );
}

#[test]
fn t15_a_sequence_left_inside_the_error() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 07 -- ProvideEimPackageResult
            A0 05 -- eimPackageResultResponseError
                30 03 -- SEQUENCE
                    02 01 7F -- undefinedError(127)
        ",
        "
        BF 50 05 -- ProvideEimPackageResult
            A0 03 -- eimPackageResultResponseError
                02 01 7F -- undefinedError(127)
        ",
    );
}
