#![no_main]

use event_pusher_delivery::fuzzing::sns_answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sns_answer(data));
