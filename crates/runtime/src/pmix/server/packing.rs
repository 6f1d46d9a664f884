//! Values of tasks as bytes, which only the library of another node has to understand.

use std::ffi::c_void;

use super::State;
use crate::pmix::library::{ByteObject, DataBuffer, Info, PublishedData, RANK_WILDCARD, SUCCESS, kind};

/// A named value as bytes; `None` where the library cannot.
pub(super) fn pack(state: &State, info: &Info) -> Option<Vec<u8>> {
    let mut buffer = DataBuffer::empty();
    let everybody = state.proc(RANK_WILDCARD);
    let source: *mut c_void = std::ptr::from_ref(info).cast_mut().cast();
    let mut object = ByteObject { bytes: std::ptr::null_mut(), size: 0 };
    // SAFETY: buffer, value and object live through the calls, and the value is only read.
    unsafe {
        let status = (state.library.data_pack)(&everybody, &mut buffer, source, 1, kind::INFO);
        if status != SUCCESS || (state.library.data_unload)(&mut buffer, &mut object) != SUCCESS {
            return None;
        }
        if object.bytes.is_null() {
            return None;
        }
        let bytes = std::slice::from_raw_parts(object.bytes.cast::<u8>(), object.size).to_vec();
        libc::free(object.bytes.cast());
        Some(bytes)
    }
}

/// Published values: names with ranks and lengths, and the bytes one after the other. What cannot be read is left out.
pub(super) fn found(state: &State, values: &[(String, u32, u32)], data: &[u8]) -> Vec<PublishedData> {
    let mut rest = data;
    let mut found = Vec::with_capacity(values.len());
    for (_, rank, length) in values {
        let (bytes, behind) = rest.split_at_checked(*length as usize).unwrap_or((rest, &[]));
        rest = behind;
        if let Some(info) = unpack(state, bytes) {
            found.push(PublishedData { proc: state.proc(*rank), key: info.key, value: info.value });
        }
    }
    found
}

fn unpack(state: &State, bytes: &[u8]) -> Option<Info> {
    let mut buffer = DataBuffer::empty();
    let mut info = Info::new("", 0, Info::blank());
    let everybody = state.proc(RANK_WILDCARD);
    let mut count = 1;
    // SAFETY: the library takes over the bytes, which are of malloc; everything else lives through the calls.
    unsafe {
        let copy = libc::malloc(bytes.len().max(1));
        if copy.is_null() {
            return None;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.cast(), bytes.len());
        let mut object = ByteObject { bytes: copy.cast(), size: bytes.len() };
        if (state.library.data_load)(&mut buffer, &mut object) != SUCCESS {
            return None;
        }
        let target: *mut c_void = std::ptr::from_mut(&mut info).cast();
        let status = (state.library.data_unpack)(&everybody, &mut buffer, target, &mut count, kind::INFO);
        (status == SUCCESS).then_some(info)
    }
}
