"""What we talk about: the vocabulary of the house. No files, sockets or database."""

from pydicom import config

# pydicom quotes the offending value in its warnings; a value may be a patient's name.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
