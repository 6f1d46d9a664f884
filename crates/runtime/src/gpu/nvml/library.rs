//! The functions of NVIDIA's library (NVML) that are used, by their published names and types.
//!
//! Each is looked up by itself, so that an older library without one of them does for the rest.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStrExt;

use libc::{c_char, c_int, c_uint, c_ulonglong, c_void};

/// A GPU, or a part of one, as the library knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Device(*mut c_void);

// SAFETY: a device is a name that the library gives out; it may be used from any thread.
unsafe impl Send for Device {}

/// The loaded library, ready for use until it is dropped.
#[derive(Debug)]
pub(crate) struct Library {
    handle: *mut c_void,
}

// SAFETY: the library is made to be used from several threads, and the handle is only read.
unsafe impl Send for Library {}

/// A part of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) gpu_instance: u32,
    pub(super) compute_instance: u32,
    pub(super) unique_id: String,
    slices: u32,
    compute_slices: u32,
    memory_mb: u64,
}

impl Part {
    /// `1g.5gb`; with fewer compute slices than its memory has, `1c.3g.20gb`.
    pub(super) fn profile(&self) -> String {
        let gigabytes = self.memory_mb.div_ceil(1024);
        match self.compute_slices {
            0 => format!("{}g.{gigabytes}gb", self.slices),
            slices if slices == self.slices => format!("{}g.{gigabytes}gb", self.slices),
            slices => format!("{slices}c.{}g.{gigabytes}gb", self.slices),
        }
    }
}

/// What one process uses of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessUse {
    pub(crate) pid: u32,
    /// Of the time since the last look, percent.
    pub(crate) percent: u32,
    /// When that was seen, in the library's own time.
    pub(crate) time: u64,
}

type Number = unsafe extern "C" fn(Device, *mut c_uint) -> c_int;

/// `nvmlPciInfo_t`.
#[repr(C)]
struct PciInfo {
    legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    device_id: c_uint,
    subsystem_id: c_uint,
    place: [c_char; 32],
}

/// `nvmlDeviceAttributes_t`.
#[repr(C)]
struct Attributes {
    counts: [c_uint; 6],
    slices: c_uint,
    compute_slices: c_uint,
    memory_mb: c_ulonglong,
}

/// `nvmlProcessInfo_v2_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ProcessInfo {
    pid: c_uint,
    memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// `nvmlProcessUtilizationSample_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Utilization {
    pid: c_uint,
    time: c_ulonglong,
    percent: c_uint,
    memory_percent: c_uint,
    encoder_percent: c_uint,
    decoder_percent: c_uint,
}

/// `NVML_ERROR_INSUFFICIENT_SIZE`: there are more entries than there is room for.
const TOO_SMALL: c_int = 7;

/// Most links of a GPU (`NVML_NVLINK_MAX_LINKS`).
const LINKS_MAX: c_uint = 18;

/// Most processes of a GPU that are looked at.
const PROCESSES_MAX: usize = 4096;

/// Room for names.
const NAME_SIZE: usize = 96;

impl Library {
    /// Loads the first of these that is there, and makes it ready.
    ///
    /// # Errors
    /// In words: none is there, or it does not work.
    pub(crate) fn open(names: &[OsString]) -> Result<Library, String> {
        let handle = names.iter().find_map(|name| {
            let name = CString::new(name.as_bytes()).ok()?;
            // SAFETY: the name is NUL-terminated. NVIDIA's library runs nothing of ours when it is loaded.
            let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            (!handle.is_null()).then_some(handle)
        });
        let library = Library { handle: handle.ok_or("the library NVML is not there")? };
        let start: unsafe extern "C" fn() -> c_int = library.function(c"nvmlInit_v2")?;
        // SAFETY: the function takes nothing.
        match unsafe { start() } {
            0 => Ok(library),
            code => {
                let problem = library.problem("nvmlInit_v2", code);
                // Nothing was made ready, so nothing is to be ended.
                std::mem::forget(library);
                Err(problem)
            }
        }
    }

    /// How many GPUs there are.
    pub(crate) fn count(&self) -> Result<u32, String> {
        let function: unsafe extern "C" fn(*mut c_uint) -> c_int = self.function(c"nvmlDeviceGetCount_v2")?;
        let mut count = 0;
        // SAFETY: the result is written into our own number.
        self.check("nvmlDeviceGetCount_v2", unsafe { function(&mut count) })?;
        Ok(count)
    }

    /// The GPU with that number.
    pub(super) fn device(&self, number: u32) -> Result<Device, String> {
        let name = c"nvmlDeviceGetHandleByIndex_v2";
        let function: unsafe extern "C" fn(c_uint, *mut Device) -> c_int = self.function(name)?;
        let mut device = Device(std::ptr::null_mut());
        // SAFETY: the result is written into our own variable.
        self.check("nvmlDeviceGetHandleByIndex_v2", unsafe { function(number, &mut device) })?;
        Ok(device)
    }

    /// All GPUs that answer.
    pub(crate) fn devices(&self) -> Vec<Device> {
        (0..self.count().unwrap_or(0)).filter_map(|number| self.device(number).ok()).collect()
    }

    /// What it is sold as.
    pub(super) fn name(&self, device: Device) -> Result<String, String> {
        self.words(c"nvmlDeviceGetName", device)
    }

    /// The number of its file.
    pub(crate) fn minor(&self, device: Device) -> Result<u32, String> {
        self.number(c"nvmlDeviceGetMinorNumber", device)
    }

    /// Its place on the bus.
    pub(super) fn place(&self, device: Device) -> Result<String, String> {
        let function: unsafe extern "C" fn(Device, *mut PciInfo) -> c_int =
            self.function(c"nvmlDeviceGetPciInfo_v3")?;
        // SAFETY: all-zero is a valid value of this plain structure.
        let mut info: PciInfo = unsafe { std::mem::zeroed() };
        // SAFETY: the library fills in a structure of the published layout.
        self.check("nvmlDeviceGetPciInfo_v3", unsafe { function(device, &mut info) })?;
        Ok(words(&info.place))
    }

    /// Places at the other ends of its links, once for each.
    pub(super) fn neighbours(&self, device: Device) -> Vec<String> {
        type State = unsafe extern "C" fn(Device, c_uint, *mut c_uint) -> c_int;
        type Remote = unsafe extern "C" fn(Device, c_uint, *mut PciInfo) -> c_int;
        let (Ok(state), Ok(remote)) = (
            self.function::<State>(c"nvmlDeviceGetNvLinkState"),
            self.function::<Remote>(c"nvmlDeviceGetNvLinkRemotePciInfo_v2"),
        ) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for link in 0..LINKS_MAX {
            let mut active = 0;
            // SAFETY: all-zero is a valid value of this plain structure.
            let mut info: PciInfo = unsafe { std::mem::zeroed() };
            // SAFETY: results are written into our own variables. A link that is not there is an error code.
            let is_active = unsafe { state(device, link, &mut active) } == 0 && active == 1;
            // SAFETY: as above.
            if is_active && unsafe { remote(device, link, &mut info) } == 0 {
                found.push(words(&info.place));
            }
        }
        found
    }

    /// The parts into which it is divided; empty where it is whole.
    pub(super) fn parts(&self, device: Device) -> Vec<Part> {
        type Mode = unsafe extern "C" fn(Device, *mut c_uint, *mut c_uint) -> c_int;
        type Nth = unsafe extern "C" fn(Device, c_uint, *mut Device) -> c_int;
        let (Ok(mode), Ok(nth)) = (
            self.function::<Mode>(c"nvmlDeviceGetMigMode"),
            self.function::<Nth>(c"nvmlDeviceGetMigDeviceHandleByIndex"),
        ) else {
            return Vec::new();
        };
        let (mut now, mut pending) = (0, 0);
        // SAFETY: results are written into our own variables. GPUs that cannot be divided give an error code.
        if unsafe { mode(device, &mut now, &mut pending) } != 0 || now != 1 {
            return Vec::new();
        }
        let most = self.number(c"nvmlDeviceGetMaxMigDeviceCount", device).unwrap_or(0);
        let part = |number| {
            let mut part = Device(std::ptr::null_mut());
            // SAFETY: the result is written into our own variable.
            (unsafe { nth(device, number, &mut part) } == 0).then(|| self.part(part).ok()).flatten()
        };
        (0..most).filter_map(part).collect()
    }

    fn part(&self, part: Device) -> Result<Part, String> {
        let name = c"nvmlDeviceGetAttributes_v2";
        let function: unsafe extern "C" fn(Device, *mut Attributes) -> c_int = self.function(name)?;
        let mut attributes = Attributes { counts: [0; 6], slices: 0, compute_slices: 0, memory_mb: 0 };
        // SAFETY: the library fills in a structure of the published layout.
        self.check("nvmlDeviceGetAttributes_v2", unsafe { function(part, &mut attributes) })?;
        Ok(Part {
            gpu_instance: self.number(c"nvmlDeviceGetGpuInstanceId", part)?,
            compute_instance: self.number(c"nvmlDeviceGetComputeInstanceId", part)?,
            unique_id: self.words(c"nvmlDeviceGetUUID", part)?,
            slices: attributes.slices,
            compute_slices: attributes.compute_slices,
            memory_mb: attributes.memory_mb,
        })
    }

    /// Energy used since the driver was loaded, millijoules.
    pub(crate) fn energy_mj(&self, device: Device) -> Option<u64> {
        let name = c"nvmlDeviceGetTotalEnergyConsumption";
        let function: unsafe extern "C" fn(Device, *mut c_ulonglong) -> c_int = self.function(name).ok()?;
        let mut energy = 0;
        // SAFETY: the result is written into our own variable.
        (unsafe { function(device, &mut energy) } == 0).then_some(energy)
    }

    /// Processes with a part of its memory, in bytes. Where the driver does not say how much, 0.
    pub(crate) fn memory_by_process(&self, device: Device) -> Vec<(u32, u64)> {
        // A process that computes and draws stands in both lists.
        let mut found = BTreeMap::new();
        for name in [c"nvmlDeviceGetComputeRunningProcesses_v3", c"nvmlDeviceGetGraphicsRunningProcesses_v3"] {
            type Processes = unsafe extern "C" fn(Device, *mut c_uint, *mut ProcessInfo) -> c_int;
            let Ok(function) = self.function::<Processes>(name) else { continue };
            let blank = ProcessInfo { pid: 0, memory: 0, gpu_instance: 0, compute_instance: 0 };
            // SAFETY: the library writes no more entries than the number it is given.
            let entries = self.list(blank, |count, entries| unsafe { function(device, count, entries) });
            // What is not known is a number of ones.
            let known = |bytes: u64| if bytes == u64::MAX { 0 } else { bytes };
            for entry in &entries {
                let memory: &mut u64 = found.entry(entry.pid).or_default();
                *memory = known(entry.memory).max(*memory);
            }
        }
        found.into_iter().collect()
    }

    /// What processes used of it after `since`, as seen several times; the library keeps the last ones.
    pub(crate) fn use_by_process(&self, device: Device, since: u64) -> Vec<ProcessUse> {
        type Uses = unsafe extern "C" fn(Device, *mut Utilization, *mut c_uint, c_ulonglong) -> c_int;
        let Ok(function) = self.function::<Uses>(c"nvmlDeviceGetProcessUtilization") else { return Vec::new() };
        let blank =
            Utilization { pid: 0, time: 0, percent: 0, memory_percent: 0, encoder_percent: 0, decoder_percent: 0 };
        // SAFETY: the library writes no more entries than the number it is given.
        let entries = self.list(blank, |count, entries| unsafe { function(device, entries, count, since) });
        let seen = |entry: &Utilization| ProcessUse { pid: entry.pid, percent: entry.percent, time: entry.time };
        entries.iter().map(seen).collect()
    }

    /// A list whose length the library tells when it is asked with no room.
    fn list<T: Copy>(&self, blank: T, call: impl Fn(*mut c_uint, *mut T) -> c_int) -> Vec<T> {
        let mut count: c_uint = 0;
        if call(&mut count, std::ptr::null_mut()) != TOO_SMALL || count == 0 {
            return Vec::new();
        }
        // Some may have come meanwhile.
        let room = (count as usize + 16).min(PROCESSES_MAX);
        let mut entries = vec![blank; room];
        count = room as c_uint;
        match call(&mut count, entries.as_mut_ptr()) {
            0 => {
                entries.truncate(count as usize);
                entries
            }
            _ => Vec::new(),
        }
    }

    fn number(&self, name: &CStr, device: Device) -> Result<u32, String> {
        let function: Number = self.function(name)?;
        let mut number = 0;
        // SAFETY: the result is written into our own variable.
        self.check(&name.to_string_lossy(), unsafe { function(device, &mut number) })?;
        Ok(number)
    }

    fn words(&self, name: &CStr, device: Device) -> Result<String, String> {
        let function: unsafe extern "C" fn(Device, *mut c_char, c_uint) -> c_int = self.function(name)?;
        let mut buffer = [0 as c_char; NAME_SIZE];
        // SAFETY: the library writes no more than the size it is told.
        let code = unsafe { function(device, buffer.as_mut_ptr(), NAME_SIZE as c_uint) };
        self.check(&name.to_string_lossy(), code)?;
        Ok(words(&buffer))
    }

    /// A function of the library. `F` is the type that the library publishes for it.
    fn function<F: Copy>(&self, name: &CStr) -> Result<F, String> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: the handle is of a loaded library and the name NUL-terminated.
        let symbol = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if symbol.is_null() {
            return Err(format!("the library NVML has no {}", name.to_string_lossy()));
        }
        // SAFETY: callers name a function type; its size is that of a pointer, and the symbol is that function.
        Ok(unsafe { std::mem::transmute_copy(&symbol) })
    }

    fn check(&self, name: &str, code: c_int) -> Result<(), String> {
        if code == 0 { Ok(()) } else { Err(self.problem(name, code)) }
    }

    fn problem(&self, name: &str, code: c_int) -> String {
        type Words = unsafe extern "C" fn(c_int) -> *const c_char;
        let text = self.function::<Words>(c"nvmlErrorString").ok().and_then(|function| {
            // SAFETY: the library gives a constant text for each code.
            let text = unsafe { function(code) };
            // SAFETY: it is NUL-terminated and stays.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        });
        format!("{name}: {}", text.unwrap_or_else(|| format!("error {code}")))
    }
}

impl Drop for Library {
    /// The library itself stays loaded: it has threads of its own.
    fn drop(&mut self) {
        if let Ok(end) = self.function::<unsafe extern "C" fn() -> c_int>(c"nvmlShutdown") {
            // SAFETY: the function takes nothing.
            unsafe { end() };
        }
    }
}

fn words(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
