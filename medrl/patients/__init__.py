"""Patients who can be asked: by rule, or played by a local model or one behind an endpoint."""

from medrl.patients.build import build_patients
from medrl.patients.patient import Exchange, Patient, Patients
from medrl.patients.rule import NEUTRAL, Persona, RulePatients
from medrl.patients.spec import PatientSpec

__all__ = [
    "NEUTRAL",
    "Exchange",
    "Patient",
    "PatientSpec",
    "Patients",
    "Persona",
    "RulePatients",
    "build_patients",
]
