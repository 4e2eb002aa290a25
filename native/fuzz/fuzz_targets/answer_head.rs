#![no_main]

use event_pusher_delivery::fuzzing::answer_head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| answer_head(data));
