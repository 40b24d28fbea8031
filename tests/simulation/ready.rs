//! How processes become ready, and how their slaves notice: ports, control sockets, files.

use std::path::PathBuf;

use arete::machine::{EarId, NoAnswer, ProbeId};

use super::World;
use super::node::{Life, Queued};
use super::process::{Ask, Fact};

impl World {
    /// A slave tries to connect to a port of its host.
    pub fn probe(&mut self, life: Life, probe: ProbeId, to: &str) {
        let port = to.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("HOST:PORT");
        let host = self.nodes[life.node].host;
        let open = !self.pids_where(|process| process.host == host && process.port == Some(port)).is_empty();
        let result = if open { Ok(()) } else { Err(NoAnswer::Refused) };
        self.deliver_input(life, Queued::Probed { probe, result });
    }

    pub fn make_ear(&mut self, life: Life, ear: EarId, path: PathBuf) {
        self.ears.insert((life, path), ear);
    }

    pub fn remove_ear(&mut self, life: Life, ear: EarId) {
        self.ears.retain(|(of, _), other| *of != life || *other != ear);
    }

    /// A process becomes ready, in one of the ways that a slave can notice.
    pub fn becomes_ready(&mut self, pid: u32, how: &str) {
        let (word, rest) = how.split_once(' ').unwrap_or((how, ""));
        let process = self.processes.get_mut(&pid).expect("it runs");
        let (life, mark) = (process.life, process.mark.clone());
        self.ledger.push(Fact::IsReady { at: self.now, pid, life, mark });
        let process = self.processes.get_mut(&pid).expect("it runs");
        match word {
            "listens" => process.port = Some(rest.parse().expect("a port")),
            "logs" => self.process_writes(pid, true, b"it is up\n"),
            "touches" => self.write_file(pid, "up 1"),
            "asks" => self.ask(pid, Ask::Ready),
            "notifies" => {
                let path = process.notify_socket.clone().unwrap_or_default();
                if let Some(&ear) = self.ears.get(&(life, path)) {
                    let bytes = b"STATUS=up\nREADY=1\n".to_vec();
                    self.deliver_input(life, Queued::Overheard { ear, bytes });
                }
            }
            other => panic!("nothing becomes ready by {other:?}"),
        }
    }
}
