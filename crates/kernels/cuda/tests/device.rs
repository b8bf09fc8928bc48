//! The launcher of the device against a stand-in for the driver's library (`stand_in.c`): every way in which a device can refuse, and what
//! reaches the driver where it does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use quarterturn_cuda::device::{Device, Driver, Error};
use quarterturn_cuda::{Card, Launch, Launcher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A stand-in with these settings, in a folder of its own.
struct StandIn(PathBuf);

impl StandIn {
    fn new(name: &str, settings: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("quarterturn-stand-in-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(folder.join("libcuda.so"))
            .arg(format!("-DLOG=\"{}\"", folder.join("log").display()))
            .args(settings.iter().map(|setting| format!("-D{setting}")))
            .arg(source)
            .status()
            .unwrap();
        assert!(built.success());
        Self(folder)
    }

    fn driver(&self) -> Result<Driver, Error> {
        Driver::open(&self.0.join("libcuda.so").display().to_string())
    }

    fn device(&self) -> Result<Device, Error> {
        Device::open(self.driver()?, 0, &image())
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As much of a fat binary as is looked at: its header, with 8 bytes of content.
fn image() -> Vec<u8> {
    [&[0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0][..], &8_u64.to_le_bytes(), &[0; 8]].concat()
}

const LAUNCH: Launch = Launch { kernel: "lstm_forward_f32", grid: 6, block: 256, cluster: 1, cooperative: false, shared: 1024 };

/// What a kernel takes: one struct.
#[repr(C)]
struct Arguments {
    address: u64,
    count: u64,
}

/// Launches with an address and a count on a stream.
fn launch(device: &Device, launch: &Launch) -> Result<(), quarterturn_cuda::Error> {
    let arguments = Arguments { address: 0x1234, count: 42 };
    let bytes = (&raw const arguments).cast();
    // SAFETY: the stand-in only reads the two values.
    unsafe { device.on(0x77_usize as *mut _).launch(launch, std::slice::from_raw_parts(bytes, size_of::<Arguments>())) }
}

#[test]
fn a_launch_reaches_the_driver_with_its_grid_its_stream_and_its_arguments() {
    let stand_in = StandIn::new("plain", &[]);
    let device = stand_in.device().unwrap();
    assert_eq!((device.name(), device.card()), ("Stand-in", Card::H200));
    launch(&device, &LAUNCH).unwrap();
    let wanted = "launch lstm_forward_f32 grid 6 1 1 block 256 1 1 shared 1024 stream 0x77 arguments 0x1234 42";
    assert_eq!(stand_in.log(), ["load", "function lstm_forward_f32", wanted]);
}

#[test]
fn cooperation_clusters_and_much_shared_memory_are_asked_for_once() {
    let stand_in = StandIn::new("attributes", &[]);
    let device = stand_in.device().unwrap();
    let large = Launch { cluster: 16, cooperative: true, shared: 200 << 10, grid: 32, ..LAUNCH };
    launch(&device, &large).unwrap();
    launch(&device, &Launch { shared: 100 << 10, cluster: 4, ..large }).unwrap();
    let log = stand_in.log();
    assert_eq!(log[1..4], ["function lstm_forward_f32", "attribute lstm_forward_f32 14 = 1", "attribute lstm_forward_f32 8 = 204800"]);
    assert!(log[4].contains("shared 204800 stream 0x77 cooperative 1 cluster 16 1 1"), "{}", log[4]);
    assert!(log[5].contains("shared 102400 stream 0x77 cooperative 1 cluster 4 1 1"), "{}", log[5]);
    assert_eq!(log.len(), 6);
}

#[test]
fn an_empty_grid_does_not_reach_the_driver() {
    let stand_in = StandIn::new("empty", &[]);
    launch(&stand_in.device().unwrap(), &Launch { grid: 0, ..LAUNCH }).unwrap();
    assert_eq!(stand_in.log(), ["load"]);
}

#[test]
fn what_does_not_fit_is_known_before_it_is_launched() {
    let stand_in = StandIn::new("fits", &["BLOCKS=2", "CLUSTERS=3"]);
    let device = stand_in.device().unwrap();
    let fits = |launch: Launch| device.on(std::ptr::null_mut()).fits(&launch).unwrap();
    assert!(fits(Launch { cooperative: true, grid: 264, ..LAUNCH }));
    assert!(!fits(Launch { cooperative: true, grid: 265, ..LAUNCH }));
    assert!(fits(Launch { grid: 10_000, ..LAUNCH }));
    assert!(!fits(Launch { shared: 228 << 10, ..LAUNCH }));
    assert!(fits(Launch { cluster: 8, grid: 800, ..LAUNCH }));
    assert!(!fits(Launch { cluster: 8, grid: 32, cooperative: true, ..LAUNCH }));
    assert!(!StandIn::new("fits-none", &["BLOCKS=0"]).device().unwrap().on(std::ptr::null_mut()).fits(&LAUNCH).unwrap());
    assert!(
        !StandIn::new("fits-old", &["MAJOR=8"]).device().unwrap().on(std::ptr::null_mut()).fits(&Launch { cluster: 2, ..LAUNCH }).unwrap()
    );
}

#[test]
fn a_machine_without_a_driver_or_a_device_says_so() {
    let Err(Error::NoDriver(why)) = Driver::open("/nowhere/libcuda.so.1").map(|_| ()) else { panic!("it was opened") };
    assert!(why.contains("libcuda.so.1"), "{why}");
    let stand_in = StandIn::new("no-device", &["DEVICES=0"]);
    assert_eq!(stand_in.driver().map(|_| ()).unwrap_err().to_string(), "no CUDA driver: it sees no device");
}

#[test]
fn a_driver_too_old_is_refused_with_its_release() {
    let stand_in = StandIn::new("driver", &["VERSION=12080"]);
    let text = stand_in.driver().map(|_| ()).unwrap_err().to_string();
    assert_eq!(text, "the CUDA driver is too old: for CUDA 12.8, and CUDA 13.0 is needed (driver 580 or newer)");
}

#[test]
fn a_card_too_old_is_refused_before_anything_is_loaded() {
    let stand_in = StandIn::new("card", &["MAJOR=7"]);
    let text = stand_in.device().map(|_| ()).unwrap_err().to_string();
    assert_eq!(text, "Stand-in has compute capability 7.0, and the kernels need 8.0 or newer");
    assert_eq!(stand_in.log(), [""; 0]);
}

#[test]
fn an_image_that_does_not_load_or_is_no_image_is_refused() {
    let stand_in = StandIn::new("image", &["LOAD=209"]);
    let text = stand_in.device().map(|_| ()).unwrap_err().to_string();
    assert_eq!(text, "the CUDA kernels cannot be loaded: no kernel image is available (error 209 of the driver)");
    let good = StandIn::new("images", &[]);
    for (bytes, why) in [(&image()[..20], "cut short"), (b"text", "no fat binary"), (b"", "no fat binary")] {
        let text = Device::open(good.driver().unwrap(), 0, bytes).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(good.log(), [""; 0]);
    let absent = launch(&good.device().unwrap(), &Launch { kernel: "absent", ..LAUNCH });
    assert!(matches!(absent, Err(quarterturn_cuda::Error::Device(Error::Image(_)))), "{absent:?}");
}

#[test]
fn a_device_without_memory_says_so_and_lives_on() {
    let loading = StandIn::new("memory-load", &["LOAD=2"]).device().map(|_| ()).unwrap_err();
    assert_eq!(loading.to_string(), "CUDA out of memory: loading the kernels");
    let stand_in = StandIn::new("memory-launch", &["LAUNCH=2"]);
    let device = stand_in.device().unwrap();
    for _ in 0..2 {
        assert_eq!(launch(&device, &LAUNCH), Err(Error::OutOfMemory("lstm_forward_f32".to_owned()).into()));
    }
}

#[test]
fn a_launch_that_fails_otherwise_names_the_kernel_and_the_error() {
    let device = StandIn::new("launch", &["LAUNCH=701"]).device().unwrap();
    let text = launch(&device, &LAUNCH).unwrap_err().to_string();
    assert_eq!(text, "CUDA: lstm_forward_f32: unknown error (error 701 of the driver)");
}
