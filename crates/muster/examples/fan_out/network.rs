//! What the kernel has counted on the connections of the controller.

use std::process::Command;

use crate::Failure;

/// Over all connections that are open now.
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    /// Bytes that the controller sent.
    pub(crate) sent: u64,
    /// Bytes that it received.
    pub(crate) received: u64,
}

impl Traffic {
    /// Of the connections to this port of this machine.
    pub(crate) fn now(port: u16) -> Result<Traffic, Failure> {
        let output = Command::new("ss")
            .args(["-tinH", "state", "established", "sport", "=", &format!(":{port}")])
            .output()
            .map_err(|error| format!("cannot run ss, which counts bytes (package iproute2): {error}"))?;
        let text = String::from_utf8(output.stdout)?;
        let sum = |name: &str| -> u64 {
            let values = text.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
            values.sum()
        };
        let connections = text.split_whitespace().filter(|word| word.starts_with("rto:")).count();
        Ok(Traffic { connections, sent: sum("bytes_sent:"), received: sum("bytes_received:") })
    }
}
