//! The crate at its border: the test card as a picture, QEMU as it is, and peers that pose as QEMU.

#[path = "guest/audio.rs"]
mod audio;
#[path = "../../../fuzz/fuzz_targets/shared/call.rs"]
mod call;
#[path = "guest/hostile.rs"]
mod hostile;
#[path = "guest/hypervisor.rs"]
mod hypervisor;
#[path = "guest/impostor.rs"]
mod impostor;
#[path = "guest/monitor.rs"]
mod monitor;
#[path = "guest/picture.rs"]
mod picture;
#[path = "guest/power.rs"]
mod power;
#[path = "guest/real_qemu.rs"]
mod real_qemu;
#[path = "guest/rest.rs"]
mod rest;
#[path = "guest/taken.rs"]
mod taken;
#[path = "guest/testcard.rs"]
mod testcard;
#[path = "guest/viewer.rs"]
mod viewer;
