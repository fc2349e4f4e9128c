#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eim_fuzz::json_response(data));
