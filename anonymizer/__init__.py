"""De-identification after PS3.15 Annex E: data set in, data set and record out."""
