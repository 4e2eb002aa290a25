//! Lists, which have a proper end.

use rustler::{ListIterator, NifResult, Term};

/// The elements of a list. rustler's own iterator panics at the end of an improper one.
pub(crate) fn elements(term: Term<'_>) -> NifResult<ListIterator<'_>> {
    term.list_length()?;
    term.decode()
}
