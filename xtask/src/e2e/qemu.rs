//! stub
use super::report::Suite;
use super::vm::{Guest, Qemu, Vm};
use super::wait;
use anyhow::Result;
pub fn run(only: Option<&str>) -> Result<()> {
    let mut suite = Suite::new("qemu", only);
    for guest in [Guest::Kms("rdpmux.scene=idle"), Guest::Kms("rdpmux.scene=video rdpmux.mode=1920x1080")] {
        suite.case(&format!("boot {guest:?}"), |case| {
            let mut vm = Vm::start(case, "vm", Qemu::V7, &guest, &[])?;
            for n in 0..6 {
                std::thread::sleep(wait::seconds(4));
                let picture = vm.screendump()?;
                picture.save(&case.folder.join(format!("{n}.png")))?;
            }
            vm.qmp.run("send-key", &serde_json::json!({"keys":[{"type":"qcode","data":"a"}]}))?;
            std::thread::sleep(wait::seconds(1));
            vm.screendump()?.save(&case.folder.join("key.png"))?;
            Ok(crate::steps::tail(&case.folder.join("vm.serial.log"), 9))
        });
    }
    suite.finish()
}
