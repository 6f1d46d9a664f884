//! libpmix as it lies on the machine: found and bound when it is needed.
//!
//! Types and numbers are those of the PMIx standard, which fixes them for all versions taken here (3 to 5).

use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// The name under which all these versions are installed.
const FILE_NAME: &CStr = c"libpmix.so.2";

/// Versions whose structures are those below.
const MAJOR_VERSIONS: std::ops::RangeInclusive<u32> = 3..=5;

/// Longest name of a namespace.
pub(super) const NAMESPACE_BYTES_MAX: usize = 255;

/// Longest name of a value.
pub(super) const KEY_BYTES_MAX: usize = 511;

/// A code of the library; negative ones are errors.
pub(super) type Status = c_int;

pub(super) const SUCCESS: Status = 0;
pub(super) const ERROR: Status = -1;
pub(super) const ERR_TIMEOUT: Status = -24;
pub(super) const ERR_NOT_FOUND: Status = -46;
pub(super) const ERR_NOT_SUPPORTED: Status = -47;
pub(super) const ERR_LOST_CONNECTION: Status = -61;
pub(super) const EVENT_ACTION_COMPLETE: Status = -334;

/// In place of a rank: all.
pub(super) const RANK_WILDCARD: u32 = u32::MAX - 1;

/// Kinds of values.
pub(super) mod kind {
    pub(crate) const BOOL: u16 = 1;
    pub(crate) const STRING: u16 = 3;
    pub(crate) const INT: u16 = 6;
    pub(crate) const UINT16: u16 = 13;
    pub(crate) const UINT32: u16 = 14;
    pub(crate) const INFO: u16 = 24;
    pub(crate) const PERSISTENCE: u16 = 30;
    pub(crate) const DATA_ARRAY: u16 = 39;
    pub(crate) const PROC_RANK: u16 = 40;
}

/// A task.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Proc {
    pub(super) namespace: [c_char; NAMESPACE_BYTES_MAX + 1],
    pub(super) rank: u32,
}

impl Proc {
    /// The task `rank` of a namespace.
    pub(super) fn new(namespace: &str, rank: u32) -> Proc {
        let mut proc = Proc { namespace: [0; NAMESPACE_BYTES_MAX + 1], rank };
        copy(&mut proc.namespace, namespace);
        proc
    }

    /// Whether it belongs to that namespace.
    pub(super) fn is_of(&self, namespace: &str) -> bool {
        text(&self.namespace) == namespace.as_bytes()
    }
}

/// Puts text into a field, which keeps its last NUL.
fn copy(field: &mut [c_char], text: &str) {
    let room = field.len().saturating_sub(1);
    for (place, byte) in field.iter_mut().zip(text.bytes().take(room)) {
        *place = byte as c_char;
    }
}

/// What stands before the first NUL of a field.
pub(super) fn text(field: &[c_char]) -> Vec<u8> {
    field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect()
}

/// The content of a value: as large as its largest kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Content {
    pub(super) flag: bool,
    pub(super) byte: u8,
    pub(super) integer: c_int,
    pub(super) small: u16,
    pub(super) number: u32,
    pub(super) pointer: *mut c_void,
    whole: [u64; 3],
}

/// A value of some kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) kind: u16,
    pub(super) content: Content,
}

/// A value with its name.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Info {
    pub(super) key: [c_char; KEY_BYTES_MAX + 1],
    pub(super) flags: u32,
    pub(super) value: Value,
}

impl Info {
    /// Nothing yet.
    pub(super) fn new(key: &str, kind: u16, content: Content) -> Info {
        let mut info = Info { key: [0; KEY_BYTES_MAX + 1], flags: 0, value: Value { kind, content } };
        copy(&mut info.key, key);
        info
    }

    /// A content with all bytes beyond its own zero.
    pub(super) fn blank() -> Content {
        Content { whole: [0; 3] }
    }
}

/// A published value with its task.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PublishedData {
    pub(super) proc: Proc,
    pub(super) key: [c_char; KEY_BYTES_MAX + 1],
    pub(super) value: Value,
}

/// Values of one kind.
#[repr(C)]
pub(super) struct DataArray {
    pub(super) kind: u16,
    pub(super) size: usize,
    pub(super) array: *mut c_void,
}

/// Bytes with their number.
#[repr(C)]
pub(super) struct ByteObject {
    pub(super) bytes: *mut c_char,
    pub(super) size: usize,
}

/// What the library packs values into.
#[repr(C)]
pub(super) struct DataBuffer {
    base: *mut c_char,
    pack: *mut c_char,
    unpack: *mut c_char,
    allocated: usize,
    used: usize,
}

impl DataBuffer {
    /// Nothing in it.
    pub(super) fn empty() -> DataBuffer {
        let null = std::ptr::null_mut();
        DataBuffer { base: null, pack: null, unpack: null, allocated: 0, used: 0 }
    }
}

pub(super) type OpCallback = unsafe extern "C" fn(Status, *mut c_void);
pub(super) type ReleaseCallback = unsafe extern "C" fn(*mut c_void);
pub(super) type ModexCallback =
    unsafe extern "C" fn(Status, *const c_char, usize, *mut c_void, Option<ReleaseCallback>, *mut c_void);
pub(super) type LookupCallback = unsafe extern "C" fn(Status, *mut PublishedData, usize, *mut c_void);
pub(super) type DmodexResponse = unsafe extern "C" fn(Status, *mut c_char, usize, *mut c_void);
pub(super) type EventDone =
    unsafe extern "C" fn(Status, *mut Info, usize, Option<OpCallback>, *mut c_void, *mut c_void);
pub(super) type EventHandler = unsafe extern "C" fn(
    usize,
    Status,
    *const Proc,
    *mut Info,
    usize,
    *mut Info,
    usize,
    Option<EventDone>,
    *mut c_void,
);
type Unused = Option<unsafe extern "C" fn()>;

/// What the library asks of its host. What is `None` it refuses to tasks by itself.
#[repr(C)]
pub(super) struct Module {
    pub(super) client_connected: Unused,
    pub(super) client_finalized:
        Option<unsafe extern "C" fn(*const Proc, *mut c_void, Option<OpCallback>, *mut c_void) -> Status>,
    pub(super) abort: Option<
        unsafe extern "C" fn(
            *const Proc,
            *mut c_void,
            c_int,
            *const c_char,
            *mut Proc,
            usize,
            Option<OpCallback>,
            *mut c_void,
        ) -> Status,
    >,
    pub(super) fence: Option<
        unsafe extern "C" fn(
            *const Proc,
            usize,
            *const Info,
            usize,
            *mut c_char,
            usize,
            Option<ModexCallback>,
            *mut c_void,
        ) -> Status,
    >,
    pub(super) direct_modex:
        Option<unsafe extern "C" fn(*const Proc, *const Info, usize, Option<ModexCallback>, *mut c_void) -> Status>,
    pub(super) publish:
        Option<unsafe extern "C" fn(*const Proc, *const Info, usize, Option<OpCallback>, *mut c_void) -> Status>,
    pub(super) lookup: Option<
        unsafe extern "C" fn(
            *const Proc,
            *mut *mut c_char,
            *const Info,
            usize,
            Option<LookupCallback>,
            *mut c_void,
        ) -> Status,
    >,
    pub(super) unpublish: Option<
        unsafe extern "C" fn(
            *const Proc,
            *mut *mut c_char,
            *const Info,
            usize,
            Option<OpCallback>,
            *mut c_void,
        ) -> Status,
    >,
    pub(super) spawn: Unused,
    pub(super) connect:
        Option<unsafe extern "C" fn(*const Proc, usize, *const Info, usize, Option<OpCallback>, *mut c_void) -> Status>,
    pub(super) disconnect:
        Option<unsafe extern "C" fn(*const Proc, usize, *const Info, usize, Option<OpCallback>, *mut c_void) -> Status>,
    /// Events, tools, logs, allocations, credentials, streams, groups, fabrics; with room for what later versions add.
    pub(super) others: [Unused; 32],
}

/// Binds the functions of the library by their names.
macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The library with the functions that are used.
        pub(super) struct Library {
            /// Its version.
            pub(super) major: u32,
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            fn bind(handle: *mut c_void) -> Result<Library, String> {
                Ok(Library {
                    major: version(handle)?,
                    // SAFETY: the symbol has this type in all versions of the standard that are taken.
                    $($name: unsafe {
                        std::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(symbol(handle, $symbol)?)
                    },)*
                })
            }
        }
    };
}

functions! {
    server_init = c"PMIx_server_init": fn(*mut Module, *mut Info, usize) -> Status;
    generate_regex = c"PMIx_generate_regex": fn(*const c_char, *mut *mut c_char) -> Status;
    generate_ppn = c"PMIx_generate_ppn": fn(*const c_char, *mut *mut c_char) -> Status;
    register_namespace = c"PMIx_server_register_nspace": fn(*const c_char, c_int, *mut Info, usize, Option<OpCallback>, *mut c_void) -> Status;
    register_client = c"PMIx_server_register_client": fn(*const Proc, u32, u32, *mut c_void, Option<OpCallback>, *mut c_void) -> Status;
    setup_fork = c"PMIx_server_setup_fork": fn(*const Proc, *mut *mut *mut c_char) -> Status;
    dmodex_request = c"PMIx_server_dmodex_request": fn(*const Proc, DmodexResponse, *mut c_void) -> Status;
    register_event_handler = c"PMIx_Register_event_handler": fn(*mut Status, usize, *mut Info, usize, EventHandler, *mut c_void, *mut c_void) -> Status;
    data_pack = c"PMIx_Data_pack": fn(*const Proc, *mut DataBuffer, *mut c_void, i32, u16) -> Status;
    data_unpack = c"PMIx_Data_unpack": fn(*const Proc, *mut DataBuffer, *mut c_void, *mut i32, u16) -> Status;
    data_unload = c"PMIx_Data_unload": fn(*mut DataBuffer, *mut ByteObject) -> Status;
    data_load = c"PMIx_Data_load": fn(*mut DataBuffer, *mut ByteObject) -> Status;
}

impl Library {
    /// Loads it; a second time gives the same.
    ///
    /// # Errors
    /// In words: it is not there, is not whole, or of a version that is not known.
    pub(super) fn load() -> Result<Library, String> {
        // SAFETY: the name ends with NUL. The initialisers of a library that the administrator installed are run.
        let handle = unsafe { libc::dlopen(FILE_NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() {
            return Err(last_error());
        }
        let library = Library::bind(handle)?;
        if !MAJOR_VERSIONS.contains(&library.major) {
            return Err(format!("libpmix {} is not one of the versions 3 to 5", library.major));
        }
        Ok(library)
    }
}

fn symbol(handle: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the handle is that of an open library; the name ends with NUL.
    let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if symbol.is_null() { Err(last_error()) } else { Ok(symbol) }
}

/// The first number in `OpenPMIx 4.2.2 (…)`.
fn version(handle: *mut c_void) -> Result<u32, String> {
    let symbol = symbol(handle, c"PMIx_Get_version")?;
    // SAFETY: the function has this type in all versions, and gives a text that is never freed.
    let text = unsafe {
        let get = std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(symbol);
        CStr::from_ptr(get()).to_string_lossy().into_owned()
    };
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("libpmix says of its version only {text:?}"))
}

fn last_error() -> String {
    // SAFETY: the text is copied before anything else is loaded by this thread.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "it cannot be loaded".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// Text for the library.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_those_of_the_standard() {
        assert_eq!(size_of::<Proc>(), 260);
        assert_eq!(size_of::<Value>(), 32);
        assert_eq!((size_of::<Info>(), std::mem::offset_of!(Info, value)), (552, 520));
        assert_eq!((size_of::<PublishedData>(), std::mem::offset_of!(PublishedData, value)), (808, 776));
        assert_eq!((size_of::<DataBuffer>(), size_of::<ByteObject>(), size_of::<DataArray>()), (40, 16, 24));
        assert_eq!(std::mem::offset_of!(Module, others), 11 * size_of::<usize>());
    }
}
