//! Whether a receiver can be reached over TLS, for the check of a configuration.

use std::time::Duration;

use event_pusher_delivery::{TlsTrialError, try_tls as attempt};
use rustler::{Encoder, Env, Error, NifResult, Term};

use crate::{atoms, settings};

/// `ok | {error, {options, [Complaint :: binary()]} | {connection, Cause :: binary()}}`. It needs
/// no runtime.
#[rustler::nif(schedule = "DirtyIo")]
fn try_tls<'a>(
    env: Env<'a>,
    host: &str,
    port: u16,
    tls: Term<'a>,
    patience_ms: u64,
) -> NifResult<Term<'a>> {
    let options = settings::tls(tls)?.ok_or(Error::BadArg)?;
    Ok(match attempt(host, port, &options, Duration::from_millis(patience_ms.max(1))) {
        Ok(()) => atoms::ok().encode(env),
        Err(TlsTrialError::Options(complaints)) => {
            env.error_tuple((atoms::options(), complaints.0))
        }
        Err(TlsTrialError::Connection(cause)) => env.error_tuple((atoms::connection(), cause)),
    })
}
