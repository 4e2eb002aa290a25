#![no_main]

use event_pusher_delivery::fuzzing::headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| headers(data));
