package ensemble

// Deafen makes m keep all that it learned, whatever changes.
func (m *Model) Deafen() { m.deaf = true }

// Changed reports whether the latest sample told of a change.
func (m *Model) Changed() bool { return m.bank.changed }
