//! Which instructions this processor has. A [`Level`] can only be made by asking the processor, so holding one is the
//! proof that the kernels behind it may run.

use std::sync::OnceLock;

/// An instruction set level that this processor supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    /// Plain Rust, on every processor.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The best level here. The environment variable `RDPMUX_CPU=scalar`, read once, lowers it.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| match std::env::var_os("RDPMUX_CPU") {
            Some(value) if value == "scalar" => Self::SCALAR,
            _ => *Self::all().last().unwrap_or(&Self::SCALAR),
        })
    }

    /// Every level that this processor supports, lowest first.
    pub fn all() -> Vec<Self> {
        let mut levels = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
        {
            levels.push(Self(Kind::Avx2));
        }
        levels
    }

    /// Name for logs and bench rows.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// Runs the AVX2 form if the level proves it, else the scalar one.
macro_rules! dispatch {
    ($level:expr, $scalar:expr, $avx2:expr) => {
        match $level.kind() {
            crate::cpu::Kind::Scalar => $scalar,
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of this kind is only made after the processor reported AVX2, BMI1, BMI2 and LZCNT.
            crate::cpu::Kind::Avx2 => unsafe { $avx2 },
        }
    };
}
pub(crate) use dispatch;
