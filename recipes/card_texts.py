"""What all cards say: data sets; and those of the presets: protocol, bias, limits."""

DATA = {
    "nih_chest_xray": {
        "licence": "no restriction on use",
        "cite": "Wang et al., ChestX-ray8, CVPR 2017, pp. 3462-3471; provided by the NIH Clinical "
        "Center",
        "population": "frontal chest films, most of adults, of one research hospital in the USA, "
        "1992 to 2015, reduced to 512x512 and 8 bits",
    },
    "kermany_224": {
        "licence": "CC BY 4.0",
        "cite": "Kermany, Zhang, Goldbaum, Mendeley Data, doi:10.17632/rscbjbr9sj.2",
        "population": "frontal chest films of children of one to five years, of one hospital in "
        "Guangzhou, JPEG, about two thirds of them 224x224 and the others larger",
    },
}
PURPOSES = {
    "edge": "Small devices: convolutions and ReLU only, for TFLite and int8",
    "base": "Best fidelity",
    "robust": "Films with noise, blur, binning or JPEG, and films at their detector's own sampling",
    "robust-edge": "The same on small devices: convolutions and ReLU only",
    "gan": "Sharper texture by adversarial training, at some cost in fidelity",
}
PROTOCOL = (
    "LR is the HR film after antialiased Lanczos, clipped and rounded to the film's bits. PSNR "
    "and SSIM in float64 with data range 1 and a border of `scale` pixels cropped; SSIM with an "
    "11x11 Gaussian window of sigma 1.5 and population covariance. LR-consistency is the PSNR "
    "between the LR image and the result degraded again. Means over test films with 95 % bootstrap "
    "intervals over patients; no patient tested was trained or validated on. Weights as shipped, "
    "in float16."
)
BIAS = (
    "Each data set comes from one hospital: other machines, exposures, processing and "
    "populations give other scores. NIH films are of patients referred to a research hospital, "
    "many of them seriously ill and filmed repeatedly, with tubes, lines and portable exposures; "
    "the labels normal and pneumonia come from the text of reports and are partly wrong. "
    "Performance by sex, age or ethnicity was not measured. Only chest films were seen: on other "
    "body parts the results are unknown."
)
NOT_FOR = [
    "diagnosis, treatment or any other clinical decision: it is not a medical device, and detail "
    "that it adds may be wrong",
    "replacing the original film, which is to be kept and read",
    "measuring small structures (nodules, fractures, lines) in the enlarged film",
    "other body parts or modalities, without scoring it there first",
]
# Beside these, by what a preset learned from.
NOT_FOR_CLEAN = (
    "films degraded otherwise than by antialiased Lanczos (blur, noise, compression), on which it "
    "gives less or loses: robust-x4 and robust-edge-x4 are for those"
)
NOT_FOR_ROBUST = "films that are clean and sharp: the preset it began with gives more on those"
# FSRCNN, ESPCN and LapSRN with weights trained on photographs, on films of the same data set.
PHOTOGRAPHS = {
    "32:128": "FSRCNN, ESPCN and LapSRN 30.8 to 31.2 dB where bicubic had 31.21 and Lanczos 31.39",
    "64:256": "FSRCNN, ESPCN and LapSRN 33.5 to 33.9 dB where bicubic had 33.68 and Lanczos 33.88",
    "128:512": "FSRCNN, ESPCN and LapSRN 35.9 to 36.4 dB where bicubic had 36.09 and Lanczos 36.30",
}
