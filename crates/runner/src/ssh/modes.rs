//! What a client says of its own terminal (RFC 4254, 8), in the words of `termios`.

use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, SpecialCharacterIndices, Termios};
use russh::Pty;

/// Modes looked at: more than the protocol knows.
pub(super) const MODES_MAX: usize = 128;

const CHARACTERS: &[(Pty, SpecialCharacterIndices)] = &[
    (Pty::VINTR, SpecialCharacterIndices::VINTR),
    (Pty::VQUIT, SpecialCharacterIndices::VQUIT),
    (Pty::VERASE, SpecialCharacterIndices::VERASE),
    (Pty::VKILL, SpecialCharacterIndices::VKILL),
    (Pty::VEOF, SpecialCharacterIndices::VEOF),
    (Pty::VEOL, SpecialCharacterIndices::VEOL),
    (Pty::VEOL2, SpecialCharacterIndices::VEOL2),
    (Pty::VSTART, SpecialCharacterIndices::VSTART),
    (Pty::VSTOP, SpecialCharacterIndices::VSTOP),
    (Pty::VSUSP, SpecialCharacterIndices::VSUSP),
    (Pty::VREPRINT, SpecialCharacterIndices::VREPRINT),
    (Pty::VWERASE, SpecialCharacterIndices::VWERASE),
    (Pty::VLNEXT, SpecialCharacterIndices::VLNEXT),
    (Pty::VDISCARD, SpecialCharacterIndices::VDISCARD),
];

const INPUT: &[(Pty, InputFlags)] = &[
    (Pty::IGNPAR, InputFlags::IGNPAR),
    (Pty::PARMRK, InputFlags::PARMRK),
    (Pty::INPCK, InputFlags::INPCK),
    (Pty::ISTRIP, InputFlags::ISTRIP),
    (Pty::INLCR, InputFlags::INLCR),
    (Pty::IGNCR, InputFlags::IGNCR),
    (Pty::ICRNL, InputFlags::ICRNL),
    (Pty::IXON, InputFlags::IXON),
    (Pty::IXANY, InputFlags::IXANY),
    (Pty::IXOFF, InputFlags::IXOFF),
    (Pty::IMAXBEL, InputFlags::IMAXBEL),
    (Pty::IUTF8, InputFlags::IUTF8),
];

const LOCAL: &[(Pty, LocalFlags)] = &[
    (Pty::ISIG, LocalFlags::ISIG),
    (Pty::ICANON, LocalFlags::ICANON),
    (Pty::ECHO, LocalFlags::ECHO),
    (Pty::ECHOE, LocalFlags::ECHOE),
    (Pty::ECHOK, LocalFlags::ECHOK),
    (Pty::ECHONL, LocalFlags::ECHONL),
    (Pty::NOFLSH, LocalFlags::NOFLSH),
    (Pty::TOSTOP, LocalFlags::TOSTOP),
    (Pty::IEXTEN, LocalFlags::IEXTEN),
    (Pty::ECHOCTL, LocalFlags::ECHOCTL),
    (Pty::ECHOKE, LocalFlags::ECHOKE),
    (Pty::PENDIN, LocalFlags::PENDIN),
];

const OUTPUT: &[(Pty, OutputFlags)] = &[
    (Pty::OPOST, OutputFlags::OPOST),
    (Pty::ONLCR, OutputFlags::ONLCR),
    (Pty::OCRNL, OutputFlags::OCRNL),
    (Pty::ONOCR, OutputFlags::ONOCR),
    (Pty::ONLRET, OutputFlags::ONLRET),
];

const CONTROL: &[(Pty, ControlFlags)] = &[
    (Pty::CS7, ControlFlags::CS7),
    (Pty::CS8, ControlFlags::CS8),
    (Pty::PARENB, ControlFlags::PARENB),
    (Pty::PARODD, ControlFlags::PARODD),
];

/// The protocol's number for a key that is not there.
const NO_CHARACTER: u32 = 255;

/// Brings `wanted` into `settings`; what Linux does not have is passed over, as the protocol says.
pub(crate) fn apply(wanted: &[(Pty, u32)], settings: &mut Termios) {
    for (mode, value) in wanted {
        let is_on = *value != 0;
        if let Some((_, index)) = CHARACTERS.iter().find(|(known, _)| known == mode) {
            let character = if *value == NO_CHARACTER { 0 } else { u8::try_from(*value).unwrap_or(0) };
            settings.control_chars[*index as usize] = character;
        } else if let Some((_, flag)) = INPUT.iter().find(|(known, _)| known == mode) {
            settings.input_flags.set(*flag, is_on);
        } else if let Some((_, flag)) = LOCAL.iter().find(|(known, _)| known == mode) {
            settings.local_flags.set(*flag, is_on);
        } else if let Some((_, flag)) = OUTPUT.iter().find(|(known, _)| known == mode) {
            settings.output_flags.set(*flag, is_on);
        } else if let Some((_, flag)) = CONTROL.iter().find(|(known, _)| known == mode) {
            settings.control_flags.set(*flag, is_on);
        }
    }
}
