//! Lists of named values for the library, with everything that they point to.

use std::ffi::{CString, c_void};

use crate::pmix::library::{Content, DataArray, Info, c_string, kind};

/// Named values. What they point to lives in heap blocks that stay in their places when this is moved.
#[derive(Default)]
pub(super) struct Infos {
    infos: Vec<Info>,
    texts: Vec<CString>,
    inner: Vec<(Box<DataArray>, Infos)>,
}

impl Infos {
    fn put(&mut self, key: &str, kind: u16, fill: impl FnOnce(&mut Content)) -> &mut Infos {
        let mut content = Info::blank();
        fill(&mut content);
        self.infos.push(Info::new(key, kind, content));
        self
    }

    /// A truth.
    pub(super) fn flag(&mut self, key: &str, value: bool) -> &mut Infos {
        self.put(key, kind::BOOL, |content| content.flag = value)
    }

    /// A number of 32 bits.
    pub(super) fn number(&mut self, key: &str, value: u32) -> &mut Infos {
        self.put(key, kind::UINT32, |content| content.number = value)
    }

    /// A number of 16 bits.
    pub(super) fn small(&mut self, key: &str, value: usize) -> &mut Infos {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        self.put(key, kind::UINT16, |content| content.small = value)
    }

    /// A rank.
    pub(super) fn rank(&mut self, key: &str, value: u32) -> &mut Infos {
        self.put(key, kind::PROC_RANK, |content| content.number = value)
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Infos {
        let value = c_string(value);
        let pointer = value.as_ptr();
        self.texts.push(value);
        self.put(key, kind::STRING, |content| content.pointer = pointer.cast_mut().cast())
    }

    /// A list of named values.
    pub(super) fn list(&mut self, key: &str, mut infos: Infos) -> &mut Infos {
        let array: *mut c_void = infos.infos.as_mut_ptr().cast();
        let mut list = Box::new(DataArray { kind: kind::INFO, size: infos.infos.len(), array });
        let pointer: *mut DataArray = &mut *list;
        self.inner.push((list, infos));
        self.put(key, kind::DATA_ARRAY, |content| content.pointer = pointer.cast())
    }

    /// For the library: where they begin.
    pub(super) fn as_mut_ptr(&mut self) -> *mut Info {
        self.infos.as_mut_ptr()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.infos.len()
    }
}
