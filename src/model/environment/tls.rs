//! How a connection to a system is protected.

use serde::Serialize;

/// How a connection to a system is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// By TLS, with the server's certificate and name checked.
    #[default]
    VerifyFull,
    /// By TLS, with whatever certificate.
    Require,
    /// Not at all.
    Disable,
}

impl TlsMode {
    /// Every mode, the strictest first.
    pub const ALL: [Self; 3] = [Self::VerifyFull, Self::Require, Self::Disable];

    /// As written in an environment's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::Require => "require",
            Self::Disable => "disable",
        }
    }
}
