//! What the report's metadata tell of the device.

/// The kind of fact that an item of the metadata is, by its name without blanks and case: the names differ between dialects.
pub fn kind_of(name: &str) -> Option<&'static str> {
    let plain: String = name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let plain = plain.strip_prefix("deviceinfo").unwrap_or(&plain);
    Some(match plain {
        "detectedmanufacturer" | "detectedphonevendor" | "manufacturer" | "vendor" | "selectedmanufacturer" => "manufacturer",
        "detectedphonemodel" | "detectedmodel" | "model" | "modelnumber" | "devicemodel" => "model",
        "devicename" | "phonename" | "ownername" => "name",
        "imei" | "imei1" | "imei2" => "imei",
        "meid" => "meid",
        "imsi" => "imsi",
        "iccid" | "lastusediccid" => "iccid",
        "msisdn" | "phonenumber" | "lastusedmsisdn" | "devicephonenumber" => "phone_number",
        "serial" | "serialnumber" | "unitserialnumber" => "serial",
        "osversion" | "revision" | "phonerevision" | "ostype" => "os_version",
        "timezone" | "localesettingstimezone" => "time_zone",
        "locale" | "language" | "localelanguage" => "locale",
        "androidid" | "uniqueid" | "udid" | "advertisingid" => "device_id",
        "bluetoothmacaddress" | "wifimacaddress" | "macaddress" | "bluetoothaddress" | "bluetoothdeviceaddress" => "mac_address",
        "appleid" | "owneraccount" | "icloudaccount" => "account",
        _ => return None,
    })
}
