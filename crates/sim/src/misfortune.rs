//! What happens to machines: cut off, rebooted, installed anew, or without their supervisor.

use muster_model::ids::NodeIndex;
use muster_model::time::Span;

use crate::supervisor::Notice;
use crate::world::{Happening, World};

impl World {
    pub(crate) fn misfortune(&mut self) {
        if self.winding_up {
            return;
        }
        if self.random.chance(self.hazards.machine) {
            let count = u64::try_from(self.nodes.len()).unwrap_or(1);
            let node = NodeIndex(u32::try_from(self.random.below(count)).unwrap_or(0));
            self.counts.machine_failures += 1;
            match self.random.below(6) {
                0 => {
                    let rest = self.away();
                    self.agent_dies(node, rest);
                }
                1..3 => self.is_cut_off(node),
                3 => self.loses_supervisor(node),
                4 => self.reboots(node, false),
                _ => self.reboots(node, true),
            }
        }
        let pause = self.random.span(1_000, 120_000);
        self.after(pause, Happening::Misfortune);
    }

    /// Sometimes a moment, sometimes longer than nodes may be silent.
    fn away(&mut self) -> Span {
        let timeout = u64::try_from(self.config.node_timeout.0).unwrap_or(0);
        if self.random.chance(500) {
            self.random.span(500, timeout / 2)
        } else {
            self.random.span(timeout, timeout * 3)
        }
    }

    fn is_cut_off(&mut self, node: NodeIndex) {
        let away = self.away();
        self.note(format!("node {} is cut off for {} ms", node.0, away.0));
        let this = self.node(node);
        this.reachable = false;
        if let Some(connection) = this.connection {
            self.break_connection(connection);
        }
        self.after(away, Happening::MachineReachable { node });
    }

    pub(crate) fn machine_reachable(&mut self, node: NodeIndex) {
        self.node(node).reachable = true;
    }

    /// The supervisor is gone with all it kept; another one takes over and tells what is missing.
    fn loses_supervisor(&mut self, node: NodeIndex) {
        self.note(format!("node {} loses its supervisor", node.0));
        self.node(node).supervisor.lose_all();
        let (life, delay) = (self.node(node).life, self.random.span(10, 2_000));
        self.after(delay, Happening::AgentHears { node, life, notice: Notice::All });
    }

    fn reboots(&mut self, node: NodeIndex, anew: bool) {
        self.note(format!("node {} reboots{}", node.0, if anew { ", installed anew" } else { "" }));
        let rest = self.away();
        self.agent_dies(node, rest);
        let now = self.now;
        let this = self.node(node);
        this.supervisor.lose_all();
        this.boot_time = now;
        if anew {
            let ends = this.supervisor.install_anew();
            this.watermark = 0;
            self.truth.ends_lost(node, ends);
        }
    }
}
