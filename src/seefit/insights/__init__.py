"""What a finished run tells besides its figures of merit: what the report draws, each a JSON file in the run folder."""
