//! Previews of small playbooks.
