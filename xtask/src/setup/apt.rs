//! A private apt root: packages of another Debian release, checked by its signatures, unpacked beside the system.
//! Nothing is installed and the machine's own apt state is only read. Called by `peers`.

use crate::steps;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private apt root for one release.
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// Makes the root in `dir` for `suite` (a release name such as `trixie`) and reads its package lists.
    ///
    /// # Errors
    /// When the mirror is unknown or not reachable.
    pub fn new(dir: &Path, suite: &str) -> Result<Self> {
        for part in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
        ] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::create_dir_all(dir.join("var/cache/apt/archives/partial"))?;
        fs::create_dir_all(dir.join("var/lib/dpkg"))?;
        fs::write(dir.join("var/lib/dpkg/status"), "")?;
        let uri = mirror()?;
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        fs::write(
            dir.join("etc/apt/sources.list"),
            format!("deb [signed-by={key}] {uri} {suite} main\n"),
        )?;
        let here = dir.display();
        let conf = format!(
            "Dir \"{here}\";\nDir::State::status \"{here}/var/lib/dpkg/status\";\nAPT::Architecture \"amd64\";\n\
             APT::Architectures {{\"amd64\";}};\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n\
             APT::Install-Recommends \"false\";\n{}",
            proxy_lines()
        );
        fs::write(dir.join("apt.conf"), conf)?;
        let root = Self { dir: dir.to_path_buf() };
        steps::output(root.apt().arg("update")).with_context(|| format!("cannot read the package lists of {suite}"))?;
        Ok(root)
    }

    /// Downloads exactly `packages`, without what they depend on.
    ///
    /// # Errors
    /// When a package is unknown or cannot be downloaded.
    pub fn download(&self, packages: &[&str]) -> Result<()> {
        steps::output(self.apt().arg("download").args(packages).current_dir(self.archives()))?;
        Ok(())
    }

    /// Downloads `packages` and everything they depend on.
    ///
    /// # Errors
    /// When a package is unknown or cannot be downloaded.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<()> {
        steps::output(self.apt().args(["install", "-y", "--download-only"]).args(packages))?;
        Ok(())
    }

    /// Unpacks every downloaded package into `into` and forgets the downloads.
    ///
    /// # Errors
    /// When a package is damaged or the disk is full.
    pub fn unpack(&self, into: &Path) -> Result<()> {
        unpack_all(&self.archives(), into)?;
        fs::remove_dir_all(&self.dir)?;
        Ok(())
    }

    fn apt(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", self.dir.join("apt.conf")).arg("-q");
        command
    }

    fn archives(&self) -> PathBuf {
        self.dir.join("var/cache/apt/archives")
    }
}

/// Downloads `packages` from the machine's own sources and unpacks them into `into`, without installing.
///
/// # Errors
/// When a package is unknown or cannot be downloaded.
pub fn unpack_own(packages: &[&str], into: &Path) -> Result<()> {
    let downloads = into.with_extension("debs");
    fs::create_dir_all(&downloads)?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "-o", "APT::Sandbox::User=root", "download"])
            .args(packages)
            .current_dir(&downloads);
        command
    };
    if steps::output(&mut fetch()).is_err() {
        // Stale lists name versions that the mirror no longer has.
        steps::output(Command::new("apt-get").args(["-q", "update"])).context("apt-get update failed")?;
        steps::output(&mut fetch())?;
    }
    unpack_all(&downloads, into)?;
    fs::remove_dir_all(&downloads)?;
    Ok(())
}

fn unpack_all(downloads: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut count = 0;
    for entry in fs::read_dir(downloads)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            steps::output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(into))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("no package was downloaded to {}", downloads.display());
    }
    println!("  {count} packages unpacked");
    Ok(())
}

/// The Debian mirror that this machine is set up with.
fn mirror() -> Result<String> {
    let listed = steps::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(ORIGIN) $(CODENAME)",
        "Created-By: Packages",
    ]))?;
    let own = listed.lines().find_map(|line| {
        let mut words = line.split(' ');
        let uri = words.next()?;
        (words.next() == Some("Debian") && words.next() == Some("bookworm"))
            .then(|| uri.trim_end_matches('/').to_owned())
    });
    own.or_else(mirror_from_files)
        .context("no Debian mirror in the machine's apt sources: run `apt-get update` once")
}

fn mirror_from_files() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    let is_archive = |uri: &str| uri.trim_end_matches('/').ends_with("/debian");
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|text| {
            text.split_whitespace()
                .find(|word| word.contains("://") && is_archive(word))
                .map(|uri| uri.trim_end_matches('/').to_owned())
        })
}

/// Proxy and method settings of the machine's apt, which the private root would lose otherwise.
fn proxy_lines() -> String {
    let dump = steps::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    dump.lines()
        .filter(|line| line.starts_with("Acquire::http") || line.starts_with("Acquire::https"))
        .fold(String::new(), |all, line| all + line + "\n")
}
